"""What training records, step by step."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from sfsc.files import replacing


class Column(NamedTuple):
    """A recorded quantity, and the sub-model (or pair w025-w050) it is of; "" is the network."""

    model: str
    quantity: str


class TrainingLog:
    """A value of each column for each step so far."""

    def __init__(self, columns: Sequence[Column] = (), values: Tensor | None = None):
        """`values` (steps, columns), float64, resumes a log."""
        self.columns = tuple(columns)
        self._rows: list[list[float]] = [] if values is None else values.tolist()

    def record(self, columns: Sequence[Column], values: Iterable[float]) -> None:
        """Add a step; every step has the same columns."""
        if self._rows and self.columns != tuple(columns):
            raise ValueError(f"columns changed from {self.columns} to {tuple(columns)}")
        self.columns = tuple(columns)
        self._rows.append(list(values))

    def values(self) -> Tensor:
        """(steps, columns), float64."""
        return torch.tensor(self._rows, dtype=torch.float64).reshape(-1, len(self.columns))

    def frame(self) -> pd.DataFrame:
        """Long form: step, model, quantity, value; a quantity that was not computed is left out."""
        index = pd.MultiIndex.from_tuples(self.columns, names=["model", "quantity"])
        wide = pd.DataFrame(self.values().numpy(), columns=index)
        return wide.rename_axis("step").stack([0, 1]).rename("value").dropna().reset_index()  # type: ignore[call-overload]


def write_logs(path: Path, logs: Iterable[TrainingLog]) -> None:
    """One Parquet file of a family's logs."""
    frame = pd.concat([log.frame() for log in logs], ignore_index=True)
    with replacing(path) as beside:
        frame.to_parquet(beside, index=False, compression="zstd")
