"""Training logs as TensorBoard reads them."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sfsc.files import InputError
from sfsc.tensorboard import export
from sfsc.training.log import Column, TrainingLog, write_logs


def test_every_value_comes_back(tmp_path):
    columns = [Column("w025", "loss"), Column("", "conflict_share")]
    log = TrainingLog()
    log.record(columns, [1.5, 0.0])
    log.record(columns, [0.5, float("nan")])
    write_logs(tmp_path / "mini/training/digits/sfsc/seed3/log.parquet", [log])
    export(tmp_path / "mini", ["sfsc"], tmp_path / "runs")
    events = EventAccumulator(str(tmp_path / "runs/digits/sfsc/3"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss/w025")]
    assert losses == [(0, 1.5), (1, 0.5)]
    assert [event.value for event in events.Scalars("conflict_share")] == [0.0]


def test_without_logs_it_says_so(tmp_path):
    with pytest.raises(InputError, match="no training log"):
        export(tmp_path / "mini", ["sfsc"], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
