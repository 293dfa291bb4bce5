"""What each sub-model costs, from the headers of the sub-model files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from sfsc import layout
from sfsc.files import InputError, replacing

_COLUMNS = [
    "train_set",
    "method",
    "seed",
    "model",
    "width",
    "parameters",
    "multiply_adds",
    "file_bytes",
    "train_seconds",
    "networks",
    "translated",
]


def write_cost(
    results: Path, train_sets: Sequence[str], methods: Sequence[str], seeds: Sequence[int]
) -> None:
    """Write cost.csv: a row for each sub-model file of the methods.

    multiply_adds are for one image; train_seconds and networks, how many trainings it took, are the
    whole family's, empty where the method left no training record. `translated` is what of a model
    passes through a map where it meets some other model: "query", "gallery", both, or nothing. A
    method without sub-model files has no rows.
    """
    rows = [
        row
        for train_set in train_sets
        for method in methods
        for seed in seeds
        for row in _family_rows(results, train_set, method, seed)
    ]
    with replacing(results / "cost.csv") as beside:
        pd.DataFrame(rows, columns=_COLUMNS).to_csv(beside, index=False, lineterminator="\n")


def _family_rows(results: Path, train_set: str, method: str, seed: int) -> list[dict[str, Any]]:
    record = layout.records(results, train_set, method, seed) / "summary.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    models = layout.models(results, train_set, method, seed)
    return [
        {
            "train_set": train_set,
            "method": method,
            "seed": seed,
            "model": path.stem,
            **_header(path),
            "file_bytes": path.stat().st_size,
            "train_seconds": known.get("train_seconds"),
            "networks": known.get("networks"),
            "translated": " ".join(
                side for side in layout.SIDES if list(models.glob(f"{path.stem}.{side}-for-*"))
            ),
        }
        for path in layout.sub_models(models)
    ]


def _header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            info = json.loads((file.metadata() or {})["sfsc"])
        return {key: info[key] for key in ("width", "parameters", "multiply_adds")}
    except (SafetensorError, KeyError, ValueError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: not a sub-model file of this suite: {reason}") from None
