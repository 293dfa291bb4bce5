"""Several processes train what one trains."""

import os
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes
from running import train

from sfsc.switchable import submodel


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _train(rank, count, port, task, method, dtype=torch.float32, **how):
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    torch.set_default_dtype(dtype)
    train(task, method, **how)


@pytest.fixture(autouse=True)
def without_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def _train_with(count, task, method, dtype=torch.float32):
    processes.spawn(_train, (count, _free_port(), task, method, dtype), nprocs=count)


@pytest.fixture
def in_float64():
    """AdamW divides gradients by their size: it makes the rounding of one near 0 a whole step."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _weights(task):
    models = [submodel.load(path) for path in sorted(task.models.iterdir())]
    states = [model.network.state_dict() for model in models]
    return [tensor.double().flatten() for state in states for tensor in state.values()]


@pytest.mark.parametrize("method", ["sfsc", "joint"])
@pytest.mark.usefixtures("in_float64")
def test_two_processes_with_half_a_batch_train_what_one_trains_with_a_batch(make_task, method):
    options = {"batch_norm": "synchronised", "epochs": 4}  # 24 steps
    together, alone = make_task("together", **options), make_task("alone", **options)
    _train_with(2, together, method, torch.float64)
    train(alone, method)
    for mine, expected in zip(_weights(together), _weights(alone), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)


def test_processes_without_synchronised_normalisation_differ(make_task):
    together, alone = make_task("together"), make_task("alone")
    _train_with(2, together, "sfsc")
    train(alone, "sfsc")
    pairs = zip(_weights(together), _weights(alone), strict=True)
    assert max((mine - expected).abs().max() for mine, expected in pairs) > 1e-4


def test_a_run_of_two_processes_resumes_to_the_same_bytes(make_task):
    whole, halved = make_task("whole"), make_task("halved", checkpoint_seconds=1e-9)
    _train_with(2, whole, "sfsc")
    with pytest.raises(processes.ProcessExitedException):
        processes.spawn(_train_and_die, (2, _free_port(), halved), nprocs=2)
    assert list(halved.records.glob("checkpoint-*"))
    _train_with(2, halved, "sfsc")
    files = [sorted(task.models.iterdir()) for task in (whole, halved)]
    for mine, expected in zip(*files, strict=True):
        assert mine.read_bytes() == expected.read_bytes()


def _train_and_die(rank, count, port, task):
    def before_step(step):
        if step == 5:
            os._exit(9)

    _train(rank, count, port, task, "sfsc", before_step=before_step)


def test_a_batch_that_cannot_be_shared_is_refused(make_task):
    task = make_task(batch_size=7)
    with pytest.raises(processes.ProcessRaisedException, match="7 images cannot be shared"):
        _train_with(2, task, "sfsc")


def test_augmentation_does_not_depend_on_the_processes(make_task):
    from sfsc.data.batches import MemoryBatches
    from sfsc.data.order import Order

    task = make_task()
    pixels, labels = task.train_set.images.pixels, task.train_set.labels
    batches = MemoryBatches(pixels, task.options.augment, torch.device("cpu"))
    order = Order(np.arange(len(labels)), labels, 8, seed=3)
    whole = batches.batch(order, 3, 4)
    parts = [batches.batch(order, 3, 4, part, 4) for part in range(4)]
    for place in range(3):
        together = torch.cat([part[place] for part in parts])
        np.testing.assert_array_equal(together, whole[place])
