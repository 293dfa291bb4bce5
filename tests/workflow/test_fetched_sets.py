"""From an empty folder to tables through the fetch rules, from a local site of small archives."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from local_site import Site, put, tar_of
from test_workflow import TINY, call, snakemake

from sfsc.catalogue import items
from sfsc.data.synthetic import generate
from sfsc.profile import Archives, SyntheticOptions

ARCHIVES = {"train": 3, "index": 2, "test": 1}
OXFORD = "roxford5k"
METRICS = "results/tiny/metrics.csv"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Synthetic landmarks as the generator leaves them: what the site offers in archives."""
    folder = tmp_path_factory.mktemp("drawn")
    options = dict(yaml.safe_load(TINY.read_text())["synthetic"])
    options.pop("path")
    generate(folder, SyntheticOptions(**options))
    return folder


def offer(site: Path, drawn: Path) -> None:
    for role in ("train", "eval"):
        for item in items("gldv2", role, Archives(**ARCHIVES)):
            if item.kept_as:
                put(site, item, (drawn / item.kept_as).read_bytes())
                continue
            part, number = item.images_to.split("/")[1], int(item.name[-7:-4])
            images = sorted((drawn / "gldv2" / part).rglob("*.jpg"))[number :: ARCHIVES[part]]
            names = [image.relative_to(drawn / "gldv2" / part).as_posix() for image in images]
            contents = [image.read_bytes() for image in images]
            put(site, item, tar_of(dict(zip(names, contents, strict=True))))
    truth, photographs = items(OXFORD, "eval", Archives())
    put(site, truth, (drawn / "rsynthetic/gnd_rsynthetic.pkl").read_bytes())
    images = sorted((drawn / "rsynthetic/jpg").iterdir())
    inside = {f"oxbuild_images/{image.name}": image.read_bytes() for image in images}
    put(site, photographs, tar_of(inside, "gz"))


def profile(path: Path, root: str, **fetch) -> Path:
    config = yaml.safe_load(TINY.read_text()) | {"methods": ["chance", "sfsc-plain"]}
    del config["ablation"], config["contrasts"]
    del config["synthetic"]
    landmarks = {"kind": "gldv2", "path": f"{root}/gldv2"}
    oxford = {"kind": "revisited", "path": f"{root}/{OXFORD}", "name": OXFORD}
    packed = {"image_size": 32, "packed": "data/packed", "class_fraction": 0.8}
    config["train_sets"] = {"landmarks": landmarks | packed}
    config["training"] |= {"decoding_threads": 1}
    config["eval_sets"] = {
        "gldv2": landmarks | {"train_set": "landmarks"},
        OXFORD: oxford | {"train_set": "landmarks"},
    }
    if fetch:
        config["fetch"] = {"path": root, **fetch}
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def site(drawn, tmp_path):
    (tmp_path / "site").mkdir()
    served = Site(tmp_path / "site")
    offer(served.folder, drawn)
    yield served
    served.close()


@pytest.fixture(scope="module")
def at_hand(drawn, tmp_path_factory):
    """The metrics of the same images, found on the disk."""
    folder = tmp_path_factory.mktemp("hand")
    (folder / "gldv2").symlink_to(drawn / "gldv2")
    (folder / OXFORD).mkdir()
    (folder / OXFORD / "jpg").symlink_to(drawn / "rsynthetic/jpg")
    truth = drawn / "rsynthetic/gnd_rsynthetic.pkl"
    (folder / OXFORD / f"gnd_{OXFORD}.pkl").symlink_to(truth)
    config = profile(folder / "p.yaml", str(folder))
    run = snakemake(folder / "run", METRICS, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    return pd.read_csv(folder / "run" / METRICS)


def test_from_nothing_to_the_metrics_of_data_at_hand(site, at_hand, tmp_path):
    """A server that breaks in the middle included; nothing is fetched twice, nothing left over."""
    site.faults["gldv2/train/images_001.tar"] = ["cut", 503]
    config = profile(tmp_path / "a.yaml", "data/real", mirror=site.url, archives=ARCHIVES)
    run = snakemake(tmp_path / "a", METRICS, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    assert "To be fetched from http://127.0.0.1" in run.stderr
    again = snakemake(tmp_path / "a", METRICS, config=config)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert "To be fetched" not in again.stderr
    # Once each; the broken one a second time, for its second half.
    assert site.requests.pop("gldv2/train/images_001.tar") == 2
    assert set(site.requests.values()) == {1}
    manifest = json.loads((tmp_path / "a/data/packed/manifest.json").read_text())
    assert (len(manifest["classes"]), manifest["images"]) == (6, 48)
    left = (path for path in (tmp_path / "a/data/real/.fetching").rglob("*") if path.is_file())
    assert not [path for path in left if ".locks" not in path.parts]

    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a" / METRICS), at_hand)


def test_a_workflow_killed_at_random_moments_ends_alike(site, at_hand, tmp_path):
    moments = random.Random(0)
    config = profile(tmp_path / "a.yaml", "data/real", mirror=site.url, archives=ARCHIVES)
    for _ in range(10):
        command = call(tmp_path / "a", METRICS, config=config)
        with subprocess.Popen(
            **command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(moments.uniform(2, 15))
            os.killpg(process.pid, signal.SIGKILL)
        assert snakemake(tmp_path / "a", "--unlock", config=config).returncode == 0
    run = snakemake(tmp_path / "a", METRICS, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a" / METRICS), at_hand)
    for name, sent in site.bytes.items():
        assert sent == (site.folder / name).stat().st_size or not name.endswith((".tar", ".tgz"))


def test_a_file_that_cannot_be_had_is_named_and_stops_the_workflow(drawn, tmp_path):
    offer(tmp_path / "site", drawn)
    (tmp_path / "site/gldv2/train/images_002.tar").unlink()
    mirror = str(tmp_path / "site")
    config = profile(tmp_path / "a.yaml", "data/real", mirror=mirror, archives=ARCHIVES)
    run = snakemake(tmp_path / "a", METRICS, config=config)
    assert run.returncode != 0
    log = tmp_path / "a/results/tiny/logs/fetch/gldv2/train/images_002.tar.log"
    assert "images_002.tar" in log.read_text()
    assert not (tmp_path / "a/results/tiny/metrics.csv").exists()
