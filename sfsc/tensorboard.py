"""The training logs as TensorBoard's event files."""

from collections.abc import Sequence
from pathlib import Path

from sfsc.files import InputError, replacing_folder
from sfsc.report.inputs import read_logs


def export(results: Path, methods: Sequence[str], out: Path) -> None:
    """Write a run for each training set, method and seed of a results folder to `out`.

    Raises InputError where TensorBoard is not installed or no log is there.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed: pip install --constraint constraints.txt tensorboard"
        ) from None
    logs = read_logs(results, methods)
    if logs.empty:
        raise InputError(f"{results}: no training log; train first")
    for run, log in logs.groupby(["train_set", "method", "seed"]):
        with (
            replacing_folder(out.joinpath(*map(str, run)), ["events.out.tfevents.*"]) as folder,
            SummaryWriter(folder) as writer,
        ):
            for row in log.itertuples():
                tag = f"{row.quantity}/{row.model}".rstrip("/")
                writer.add_scalar(tag, row.value, row.step)
