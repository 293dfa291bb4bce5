"""Switchable networks whose sub-models share one embedding space, next to their baselines.

What a notebook needs is here; docs/python.md shows each name. It is imported when it is used, so
that `import sfsc` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sfsc.embedding.embed import embed_images as embed_images
    from sfsc.retrieval.compatibility import measures as measures
    from sfsc.retrieval.pairs import evaluate_pairs as evaluate_pairs
    from sfsc.switchable.backbone import NetworkSpec as NetworkSpec
    from sfsc.switchable.network import build as build
    from sfsc.switchable.submodel import load as load
    from sfsc.training.aggregation import project as project
    from sfsc.training.uncertainty import evidential_loss as evidential_loss

_HOMES = {
    "NetworkSpec": "sfsc.switchable.backbone",
    "build": "sfsc.switchable.network",
    "load": "sfsc.switchable.submodel",
    "embed_images": "sfsc.embedding.embed",
    "evaluate_pairs": "sfsc.retrieval.pairs",
    "measures": "sfsc.retrieval.compatibility",
    "evidential_loss": "sfsc.training.uncertainty",
    "project": "sfsc.training.aggregation",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sfsc' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
