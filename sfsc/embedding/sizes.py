"""The sizes at which images are embedded."""

from collections.abc import Mapping
from typing import Any

from sfsc.files import InputError
from sfsc.options import part
from sfsc.profile import Sizes
from sfsc.switchable.backbone import NetworkSpec, takes_any_size


def require_taken(sizes: Sizes, spec: NetworkSpec) -> None:
    """Raise InputError where networks of `spec` do not take images of these sizes."""
    if sizes != Sizes() and not takes_any_size(spec.backbone):
        raise InputError(
            f"long_side, scales: {spec.backbone} takes images of {spec.image_size} pixels"
            " alone; leave them out"
        )


def sizes_of(entry: Mapping[str, Any]) -> Sizes:
    """The sizes of an entry of the config's `eval_sets`."""
    return part(Sizes, entry)
