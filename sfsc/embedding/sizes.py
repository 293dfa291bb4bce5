"""The sizes at which images are embedded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfsc.files import InputError
from sfsc.switchable.backbone import NetworkSpec, takes_any_size


@dataclass(frozen=True)
class Sizes:
    """The sizes at which images are embedded."""

    long_side: int | None = None
    """Pixels of the longer side at most, aspect ratio kept; None: the square of the training."""
    scales: tuple[float, ...] = (1.0,)
    """Each image is embedded at these factors of that size, and the embeddings are averaged."""

    def check(self, spec: NetworkSpec) -> None:
        """Raise InputError where networks of `spec` do not take images of these sizes."""
        if self != Sizes() and not takes_any_size(spec.backbone):
            raise InputError(
                f"long_side, scales: {spec.backbone} takes images of {spec.image_size} pixels"
                " alone; leave them out"
            )


def sizes_of(entry: Mapping[str, Any]) -> Sizes:
    """The sizes of an entry of the config's `eval_sets`."""
    return Sizes(entry.get("long_side"), tuple(entry.get("scales", (1.0,))))
