"""Every command that writes, where something else is in the place of its output: nothing is lost.

A folder with a file in it, `.`, `..`, nothing, links, a pipe, a device, a place that may not be
written to, a full disk: what people mean is done, and the rest is one line.
"""

import contextlib
import ctypes
import fcntl
import os
import pickle
import re
import resource
import shutil
import stat
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sfsc import config
from sfsc.cli import main

PROFILE = """
profile: p
seeds: [0]
methods: [sfsc]
widths: [0.5, 1.0]
model:
  {backbone: resnet18, args: {layers: [1, 1, 1, 1]}, base_channels: 8, embedding_dim: 8}
training: {epochs: 1, batch_size: 4, learning_rate: 0.01}
train_sets: {mine: {kind: folder, path: data, image_size: 32}}
eval_sets: {mine: {kind: folder, path: data, train_set: mine}}
"""
PACKED = PROFILE.replace("image_size: 32}", "image_size: 32, packed: OUT}")
DRAWN = (
    PROFILE
    + """
synthetic: {path: OUT, image_size: 32, train_landmarks: 1, train_views: 1, test_landmarks: 2,
  index_views: 1, query_views: 1, revisited_landmarks: 1, revisited_views: 2, revisited_queries: 1,
  distractors: 0}
"""
)
FETCHED = (
    PROFILE.replace(
        "{mine: {kind: folder, path: data, train_set",
        (
            "{oxford: {kind: revisited, path: OUT/roxford5k, name: roxford5k, train_set: mine},"
            " mine: {kind: folder, path: data, train_set"
        ),
    )
    + "fetch: {path: OUT, mirror: mirror}\n"
)

MODEL = "results/p/models/mine/sfsc/seed0/w100.safetensors"
OF_METHOD = "--config p.yaml --method sfsc"


@dataclass
class Writes:
    """A command that writes."""

    command: str
    path: str
    """What is put in the place of its output, of which `command` names OUT."""
    out: str = ""
    """What OUT stands for, where that is not `path`."""
    others: str = "*.nothing"
    """What it may change besides, a pattern."""
    folder: bool = False
    """Whether its output is a folder."""
    profile: str = PROFILE


COMMANDS = {
    "evaluate": Writes(
        "evaluate --ground-truth labels.csv --query m=q.npy --gallery m=q.npy --out OUT",
        "new/m.csv",
        others="new/m.per_query.parquet",
    ),
    "refresh": Writes(
        "refresh --ground-truth labels.csv --query q.npy --old q.npy --new q.npy --out OUT",
        "new/refresh.csv",
    ),
    "adapt": Writes("adapt --source q.npy --target q.npy --apply q.npy --out OUT", "new/a.npy"),
    "mixed": Writes(
        "mixed --ground-truth labels.csv --query m=q.npy --gallery m=q.npy --out OUT",
        "new/mixed.csv",
    ),
    "export": Writes(f"export {MODEL} --out OUT", "new/m.onnx", others="new/m.preprocessing.json"),
    "search": Writes(
        f"search data/test/cat/0.jpg --query-model {MODEL} --gallery data/test --gallery-model"
        f" {MODEL} --sheet OUT",
        "new/sheet.png",
    ),
    "train": Writes(f"train {OF_METHOD} --train-set mine --seed 0", MODEL, others="results/p/*/*"),
    "embed": Writes(
        f"embed {OF_METHOD} --eval-set mine",
        "results/p/embeddings/mine/sfsc/seed0/w050/query.npy",
        others="results/p/embeddings/*",
    ),
    "evaluate-method": Writes(
        f"evaluate-method {OF_METHOD} --eval-set mine",
        "results/p/evaluation/mine/sfsc/metrics.csv",
        others="results/p/evaluation/*",
    ),
    "collect": Writes("collect --config p.yaml", "results/p/metrics.csv", others="results/p/*"),
    "collect --out": Writes(
        "collect --config p.yaml --out OUT", "new/compatibility.csv", "new", others="new/*"
    ),
    "cost": Writes("cost --config p.yaml", "results/p/cost.csv"),
    "tables": Writes(
        "tables --config p.yaml main", "results/p/tables/main.md", others="results/p/tables/*"
    ),
    "figures": Writes(
        "figures --config p.yaml",
        "results/p/figures/cost-accuracy.pdf",
        others="results/p/figures/*",
    ),
    "page": Writes("page --config p.yaml", "results/p/config.yaml", others="results/p/*"),
    "latency": Writes("latency --config p.yaml", "results/p/latency.csv"),
    "fetch": Writes(
        "fetch --config p.yaml roxford5k/gnd_roxford5k.pkl",
        "sets/roxford5k/gnd_roxford5k.pkl",
        "sets",
        profile=FETCHED,
    ),
    "pack": Writes(
        "pack --config p.yaml --train-set mine",
        "packed/shard-00000.arrow",
        "packed",
        profile=PACKED,
    ),
    "generate": Writes("generate --config p.yaml", "new/drawn", folder=True, profile=DRAWN),
    "tensorboard": Writes(
        "tensorboard --config p.yaml --out OUT", "new/runs/mine/sfsc/0", "new/runs", folder=True
    ),
    "publish": Writes(
        "publish --config p.yaml --name OUT", "results/published/mine", "mine", folder=True
    ),
}


def words(writes, out=None):
    """The command, whose output is `out`; its profile is written to the current folder."""
    out = out if out is not None else writes.out or writes.path
    Path("p.yaml").write_text(writes.profile.replace("OUT", out or "''"))
    return [word.replace("OUT", out) for word in writes.command.split()]


def run(writes, out=None):
    return CliRunner().invoke(main, words(writes, out))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The tiniest profile, run to its end."""
    folder = tmp_path_factory.mktemp("finished")
    with contextlib.chdir(folder):
        for place, name in enumerate(
            f"data/{split}/{kind}/{n}.jpg"
            for split in ("train", "test")
            for kind in ("cat", "dog")
            for n in range(4)
        ):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(place).integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(name)
        vectors = np.eye(4, 8, dtype=np.float32)
        np.save("q.npy", vectors)
        Path("labels.csv").write_text("id,label\na,x\nb,x\nc,y\nd,y\n")
        truth = Path("mirror/roxford5k/gnd_roxford5k.pkl")
        truth.parent.mkdir(parents=True)
        query = {"bbx": [0.0, 0.0, 5.0, 5.0], "easy": [0], "hard": [1], "junk": [2]}
        gallery = {"imlist": ["g0", "g1", "g2"], "qimlist": ["q0"], "gnd": [query]}
        truth.write_bytes(pickle.dumps(gallery))
        Path("README.md").write_text("Nothing is quoted here.\n")
        for name in ("train", "embed", "evaluate-method", "collect", "cost"):
            assert run(COMMANDS[name]).exit_code == 0
        # To measure the latency of no model takes no time.
        header, *rows = Path("results/p/cost.csv").read_text().splitlines()
        Path("results/p/latency.csv").write_text(
            "train_set,model,width,parameters,multiply_adds,single_ms,batch_ms\n"
            + "".join(
                f"mine,{r[3]},{r[4]},{r[5]},{r[6]},1,9\n" for r in (row.split(",") for row in rows)
            )
        )
        for name in ("tables", "figures", "page"):
            assert run(COMMANDS[name]).exit_code == 0
        Path("header.csv").write_text(header + "\n")
    return folder


@pytest.fixture
def work(finished, tmp_path, monkeypatch):
    """A copy of it, in which one stands, with something precious in it and next to it."""
    folder = tmp_path / "home" / "work"
    shutil.copytree(finished, folder)
    for place in (folder, folder.parent):
        (place / "thesis.txt").write_text("years of work")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(config, "ROOT", folder)
    return folder


def everything(folder):
    """What is below a folder: bytes, or what it is, by paths."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[path] = path.readlink()
        elif path.is_file():
            found[path] = path.read_bytes()
        elif not path.is_dir():
            found[path] = stat.S_IFMT(path.stat().st_mode)
    return found


def nothing_is_lost(work, before, *changed):
    after = everything(work.parent)
    for path, content in before.items():
        name = path.relative_to(work).as_posix() if path.is_relative_to(work) else str(path)
        if name != "p.yaml" and not any(fnmatch(name, pattern) for pattern in changed):
            assert after.get(path) == content, f"{name} is gone, or not as it was"
    left = [str(path) for path in after if re.match(r"\.\d+\.", path.name)]
    assert not left, "half-written files stayed behind"
    return True


def one_line(result):
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    lines = [line for line in result.stderr.splitlines() if "sfsc: " in line]
    assert len(lines) == 1, result.stderr
    return lines[0]


@contextlib.contextmanager
def a_user_without_privileges():
    """Root writes wherever it wants, unless it lays down this capability for a while."""
    cap_dac_override, version_3 = 1, 0x20080522
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    effective = data[0]
    data[0] = effective & ~(1 << cap_dac_override)
    assert libc.capset(header, data) == 0
    try:
        yield
    finally:
        data[0] = effective
        assert libc.capset(header, data) == 0


@contextlib.contextmanager
def a_full_disk():
    """No file may grow by a byte."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def cleared(path):
    """The place of an output, free of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


@pytest.fixture(params=list(COMMANDS))
def writes(request, work):
    if request.param == "latency":
        shutil.copy("header.csv", "results/p/cost.csv")
    return COMMANDS[request.param]


def test_a_folder_of_ones_own(work, writes):
    path = cleared(work / writes.path)
    path.mkdir()
    (path / "thesis.txt").write_text("more work")
    before = everything(work.parent)
    assert writes.path in one_line(run(writes)) or writes.out in one_line(run(writes))
    assert nothing_is_lost(work, before, writes.others)


def test_a_link_to_a_file_or_an_empty_folder(work, writes):
    path = cleared(work / writes.path)
    target = work / "elsewhere"
    target.mkdir() if writes.folder else target.touch()
    path.symlink_to(target)
    before = everything(work.parent)
    result = run(writes)
    if writes.command.startswith("pack"):
        one_line(result)
        return
    assert result.exit_code == 0, result.output
    assert path.is_symlink()
    assert list(target.iterdir()) if writes.folder else target.stat().st_size
    assert nothing_is_lost(work, before, writes.others, "elsewhere")


def test_a_link_to_what_it_cannot_be(work, writes):
    path = cleared(work / writes.path)
    target = work / "elsewhere"
    if not writes.folder:
        target.mkdir()
        target /= "thesis.txt"
    target.write_text("more work")
    path.symlink_to(work / "elsewhere")
    before = everything(work.parent)
    one_line(run(writes))
    assert nothing_is_lost(work, before, writes.others)


def test_a_pipe(work, writes):
    path = cleared(work / writes.path)
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
    before = everything(work.parent)
    result = run(writes)
    with contextlib.suppress(BlockingIOError):
        received = os.read(reader, 1 << 20)
    os.close(reader)
    if writes.folder or writes.command.split()[0] in ("export", "pack"):  # which write several
        one_line(result)
    else:
        assert result.exit_code == 0, result.output
        assert received
    assert nothing_is_lost(work, before, writes.others)


def test_a_place_that_may_not_be_written_to(work, writes):
    place = (work / writes.path).parent
    place.mkdir(parents=True, exist_ok=True)
    before = everything(work.parent)
    place.chmod(0o555)
    try:
        with a_user_without_privileges():
            result = run(writes)
    finally:
        place.chmod(0o755)
    assert "Permission denied" in one_line(result)
    assert nothing_is_lost(work, before, writes.others)


def test_a_full_disk(work, writes):
    before = everything(work.parent)
    command = words(writes)
    with a_full_disk():
        result = CliRunner().invoke(main, command)
    assert "make room on the disk" in one_line(result)
    assert nothing_is_lost(work, before)


def test_below_a_file(work, writes):
    place = cleared((work / writes.path).parent)
    place.write_text("more work")
    before = everything(work.parent)
    one_line(run(writes))
    assert nothing_is_lost(work, before, writes.others)


@pytest.mark.parametrize("out", ["", ".", "..", "../../home", "data"])
@pytest.mark.parametrize(
    "name", [name for name, w in COMMANDS.items() if "OUT" in w.command + w.profile]
)
def test_names_that_are_none(work, name, out):
    before = everything(work.parent)
    result = run(COMMANDS[name], out)
    into_a_folder = name in ("collect --out", "tensorboard", "fetch", "pack")
    if result.exit_code or not (into_a_folder or (name, out) == ("publish", "data")):
        one_line(result)
    assert nothing_is_lost(work, before)


@pytest.mark.parametrize("device", ["/dev/stdout", "/dev/full", "/dev/null"])
def test_devices(work, device):
    before = everything(work.parent)
    result = run(COMMANDS["evaluate"], device)
    if device == "/dev/full":
        assert "No space left on device" in one_line(result)
    else:
        assert result.exit_code == 0, result.output
    assert nothing_is_lost(work, before)
    assert not Path(device).with_suffix(".per_query.parquet").exists()


@pytest.mark.parametrize("out", ["labels.csv", "q.npy"])
def test_an_output_that_is_also_read(work, out):
    before = everything(work.parent)
    assert "is read by this very command" in one_line(run(COMMANDS["evaluate"], out))
    assert nothing_is_lost(work, before)
