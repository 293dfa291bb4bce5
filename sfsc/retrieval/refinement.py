"""What may stand between embeddings and a ranking: expansion, augmentation, re-ranking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfsc.config import REFINING
from sfsc.options import from_section
from sfsc.retrieval.expansion import Expansion
from sfsc.retrieval.reranking import Reranking


@dataclass(frozen=True)
class Refinement:
    """The gallery is augmented first, then queries expand in it, then the best are re-ranked."""

    query_expansion: Expansion | None = None
    database_augmentation: Expansion | None = None
    reranking: Reranking | None = None


NONE = Refinement()


def refinement_of(entry: Mapping[str, Any], place: str) -> Refinement:
    """The refinement of an entry of the config's `eval_sets`; InputError that names `place`."""
    return from_section(Refinement, {key: entry[key] for key in REFINING if key in entry}, place)
