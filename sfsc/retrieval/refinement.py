"""What may stand between embeddings and a ranking: expansion, augmentation, re-ranking."""

from collections.abc import Mapping
from typing import Any

from sfsc.options import part
from sfsc.profile import Refinement

NONE = Refinement()


def refinement_of(entry: Mapping[str, Any], place: str) -> Refinement:
    """The refinement of an entry of the config's `eval_sets`; InputError that names `place`."""
    return part(Refinement, entry, place)
