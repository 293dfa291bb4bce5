"""Training that is killed, preempted or short of disk ends with the same bytes."""

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import time

import pytest
import torch
from running import train

from sfsc.files import InputError
from sfsc.training.preemption import Preempted

# Children that have imported torch, and done nothing else with it.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["sfsc.training.family"])


def _bytes(task):
    return {path.name: path.read_bytes() for path in sorted(task.models.iterdir())}


def _train(task, method="sfsc"):
    torch.set_num_threads(1)
    train(task, method)


def _train_preempted(task):
    try:
        _train(task)
    except Preempted:
        os._exit(7)


def _train_short_of_disk(task, limit):
    # What a process may write to one file, as if the disk were full there.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        _train(task)
    except InputError as error:
        os._exit(8 if "cannot be written" in str(error) else 1)


def _run(function, *arguments):
    child = _processes.Process(target=function, args=arguments)
    child.start()
    return child


def _last_change(task):
    """Of any checkpoint."""
    changes = [0]
    for path in task.records.glob("checkpoint-*.safetensors"):
        with contextlib.suppress(FileNotFoundError):
            changes.append(path.stat().st_mtime_ns)
    return max(changes)


def _wait_for_change(task, before, child):
    while child.is_alive():
        if _last_change(task) != before:
            return
        time.sleep(0.001)


def _undisturbed(make_task, method):
    task = make_task("undisturbed", epochs=60)
    child = _run(_train, task, method)
    child.join()
    assert child.exitcode == 0
    return _bytes(task)


@pytest.fixture
def undisturbed(make_task):
    return _undisturbed(make_task, "sfsc")


@pytest.mark.parametrize("method", ["sfsc", "ract"])  # one stage, and two with a frozen teacher
def test_twenty_kills_at_any_moment_change_nothing(make_task, method):
    undisturbed = _undisturbed(make_task, method)
    task = make_task("killed", epochs=60, checkpoint_seconds=1e-9)
    delays, kills = random.Random(0), 0
    while True:
        before = _last_change(task)
        child = _run(_train, task, method)
        if kills < 20:
            _wait_for_change(task, before, child)
            time.sleep(delays.uniform(0, 0.02))
            child.kill()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    assert kills >= 20
    assert _bytes(task) == undisturbed


def test_sigterm_saves_and_stops(make_task, undisturbed):
    task = make_task("preempted", epochs=60, checkpoint_seconds=1e-9)
    child = _run(_train_preempted, task)
    _wait_for_change(task, 0, child)
    child.terminate()
    child.join()
    assert child.exitcode == 7
    assert not task.models.exists()
    child = _run(_train, task)
    child.join()
    assert _bytes(task) == undisturbed


def test_a_full_disk_loses_no_earlier_checkpoint(make_task, undisturbed):
    task = make_task("full", epochs=60, checkpoint_seconds=1e-9)
    path = task.records / "checkpoint-0-w050-w100.safetensors"
    child = _run(_train, task)
    _wait_for_change(task, 0, child)
    child.kill()
    child.join()
    saved = path.read_bytes()
    child = _run(_train_short_of_disk, task, len(saved) // 2)
    child.join()
    assert child.exitcode == 8
    assert path.read_bytes() == saved
    # What the kill left half-written was removed, and nothing new was left.
    assert list(task.records.iterdir()) == [path]
    child = _run(_train, task)
    child.join()
    assert _bytes(task) == undisturbed
