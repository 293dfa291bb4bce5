"""Items of the catalogue from a server to files in place."""

import gzip
import json
import multiprocessing
from dataclasses import replace

import pytest
from local_site import put, tar_of

from sfsc.catalogue import SET_NAMES, items
from sfsc.config import check
from sfsc.fetch import fetch as fetching
from sfsc.fetch.fetch import at_mirror, fetch
from sfsc.fetch.plan import done_marker, needed, plan
from sfsc.files import InputError
from sfsc.profile import Archives

IMAGES = {"./0/1/2/0123456789abcdef.jpg": b"one" * 100, "./f/f/f/ffffffffffffffff.jpg": b"two"}
PLACED = {name.removeprefix("./"): content for name, content in IMAGES.items()}


@pytest.fixture
def archive(site):
    """The first training archive of Google Landmarks v2 at the local site, and its item."""
    item = next(item for item in items("gldv2", "train", Archives()) if item.images_to)
    put(site.folder, item, tar_of(IMAGES))
    return at_mirror(item, site.url)


def placed(root, folder="gldv2/train"):
    files = (root / folder).rglob("*")
    return {p.relative_to(root / folder).as_posix(): p.read_bytes() for p in files if p.is_file()}


def left_over(root):
    files = (path for path in (root / ".fetching").rglob("*") if path.is_file())
    return [path for path in files if ".locks" not in path.parts]


def test_addresses_are_those_of_the_sites():
    train = items("gldv2", "train", Archives())
    assert len(train) == 501
    assert train[0].url == "https://s3.amazonaws.com/google-landmark/metadata/train_clean.csv"
    last = train[-1]
    assert last.url == "https://s3.amazonaws.com/google-landmark/train/images_499.tar"
    assert last.md5_url == (
        "https://s3.amazonaws.com/google-landmark/md5sum/train/md5.images_499.txt"
    )
    assert len(items("gldv2", "eval", Archives())) == 3 + 100 + 20
    assert len(items("gldv2", "eval", Archives(index=2, test=1))) == 3 + 2 + 1
    assert len(items("revisitop1m", "eval", Archives())) == 101
    for name in SET_NAMES:
        for item in items(name, "eval", Archives()):
            assert item.name.split("/")[0] == name
            assert (item.kept_as is None) != (item.images_to is None)


def test_an_archive_is_checked_unpacked_and_removed(site, archive, tmp_path):
    fetch(archive, tmp_path)
    assert placed(tmp_path) == PLACED
    record = json.loads(done_marker(tmp_path, archive.name).read_text())
    assert record["images"] == 2
    assert record["url"] == archive.url
    assert not left_over(tmp_path)
    fetch(archive, tmp_path)
    assert site.requests[archive.name] == 1


def test_a_wrong_checksum_is_fetched_once_more_and_then_refused(site, archive, tmp_path):
    put(site.folder, archive, b"x" * 2000, md5="0" * 32)
    with pytest.raises(InputError, match=r"images_000\.tar: has the MD5 \w+, not 0{32}, also when"):
        fetch(archive, tmp_path)
    assert site.requests[archive.name] == 2
    assert not placed(tmp_path)
    assert not left_over(tmp_path)


def test_an_interrupted_unpacking_fetches_nothing_again(site, archive, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        fetch(archive, tmp_path)
    monkeypatch.undo()
    fetch(archive, tmp_path)
    assert site.requests[archive.name] == 1
    assert placed(tmp_path) == PLACED


GOOD = "0/1/2/0123456789abcdef.jpg"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({GOOD: b"bad", "../outside.jpg": b""}, r"\.\./outside\.jpg leads out of the archive"),
        ({GOOD: b"bad", "/outside.jpg": b""}, r"/outside\.jpg leads out of the archive"),
        ({GOOD: b"bad", "link.jpg": "symbolic"}, r"link\.jpg is a link or a device"),
        ({GOOD: b"bad", "link.jpg": "hard"}, r"link\.jpg is a link or a device"),
        ({GOOD: b"bad", f"./{GOOD}": b"again"}, "holds 0/1/2/0123456789abcdef.jpg twice"),
        ({"readme.txt": b"no image"}, "holds no images"),
    ],
)
def test_a_bad_archive_does_not_touch_what_is_there(site, archive, tmp_path, files, message):
    good = tmp_path / "gldv2/train" / GOOD
    good.parent.mkdir(parents=True)
    good.write_bytes(b"good")
    put(site.folder, archive, tar_of(files))
    with pytest.raises(InputError, match=message):
        fetch(archive, tmp_path)
    assert placed(tmp_path) == {GOOD: b"good"}
    assert not left_over(tmp_path)
    assert not done_marker(tmp_path, archive.name).exists()
    assert not (tmp_path / "outside.jpg").exists()


def test_truncated_archives_and_bombs_are_refused(site, archive, tmp_path):
    whole = tar_of(IMAGES)
    put(site.folder, archive, whole[:1024])  # ends where a file ends
    with pytest.raises(InputError, match="damaged or was cut short"):
        fetch(archive, tmp_path)
    put(site.folder, archive, tar_of({GOOD: bytes(1000)}))
    with pytest.raises(InputError, match="unpacks to more than 900 bytes"):
        fetching.unpack(site.folder / archive.name, tmp_path / "a", tmp_path / "b", False, 900)
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
    with pytest.raises(InputError, match="sends more than 3,000 bytes"):
        fetch(replace(archive, bytes=1000), tmp_path)

    oxford = at_mirror(items("roxford5k", "eval", Archives())[1], site.url)
    zipped = tar_of({"oxbuild/a.jpg": b"1" * 5000, "oxbuild/b.jpg": b"2"}, "gz")
    put(site.folder, oxford, zipped[:-20])
    with pytest.raises(InputError, match="is not a readable archive"):
        fetch(oxford, tmp_path)
    assert not placed(tmp_path, "roxford5k")
    damaged = bytearray(gzip.compress(gzip.decompress(zipped), 0))
    damaged[600] ^= 1
    put(site.folder, oxford, bytes(damaged))
    with pytest.raises(InputError, match="is not a readable archive"):
        fetch(oxford, tmp_path)
    put(site.folder, oxford, zipped)
    fetch(oxford, tmp_path)
    assert placed(tmp_path, "roxford5k/jpg") == {"a.jpg": b"1" * 5000, "b.jpg": b"2"}


def test_a_file_that_is_kept_whole(site, tmp_path):
    table = at_mirror(items("gldv2", "train", Archives())[0], str(site.folder))
    put(site.folder, table, b"landmark_id,images\n")
    fetch(table, tmp_path)
    assert (tmp_path / "gldv2/train_clean.csv").read_bytes() == b"landmark_id,images\n"
    assert not left_over(tmp_path)


def test_a_table_or_truth_that_is_none_does_not_replace_a_good_one(site, tmp_path):
    table, truth = items("gldv2", "train", Archives())[0], items("roxford5k", "eval", {})[0]
    for item in (table, truth):
        (tmp_path / item.kept_as).parent.mkdir(parents=True)
        (tmp_path / item.kept_as).write_bytes(b"good")
        put(site.folder, item, b"<html>moved</html>")
        with pytest.raises(InputError, match=r"no column|no pickle"):
            fetch(at_mirror(item, site.url), tmp_path)
        assert (tmp_path / item.kept_as).read_bytes() == b"good"
    assert not left_over(tmp_path)


def test_a_full_disk_throws_nothing_away(site, archive, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        fetch(archive, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(fetching, "unpack", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room"):
        fetch(archive, tmp_path)
    monkeypatch.undo()
    fetch(archive, tmp_path)
    assert placed(tmp_path) == PLACED
    assert site.requests[archive.name] == 1


def test_two_processes_fetch_an_item_once(site, archive, tmp_path):
    processes = [multiprocessing.Process(target=fetch, args=(archive, tmp_path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert site.requests[archive.name] == 1
    assert placed(tmp_path) == PLACED


def test_a_checksum_file_that_is_none(site, archive, tmp_path):
    (site.folder / archive.md5_file).write_text("<html>moved</html>")
    with pytest.raises(InputError, match=r"md5\.images_000\.txt: holds no MD5 sum"):
        fetch(archive, tmp_path)


def profile(tmp_path, **sets):
    training = {"kind": "gldv2", "path": str(tmp_path / "real/gldv2"), "image_size": 32}
    return {
        "profile": "p",
        "seeds": [0],
        "methods": ["sfsc"],
        "widths": [1.0],
        "model": {"backbone": "resnet18", "embedding_dim": 8},
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1},
        "fetch": {"path": str(tmp_path / "real"), "archives": {"train": 3}},
        "train_sets": {"landmarks": training},
        "eval_sets": {
            "digits": {"kind": "digits", "train_set": "landmarks"},
            **sets,
        },
    }


def test_only_what_the_profile_names_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    config = check(profile(tmp_path), "p.yaml")
    assert [item.name for item in needed(config)] == [
        "gldv2/metadata/train_clean.csv",
        *(f"gldv2/train/images_{number:03d}.tar" for number in range(3)),
    ]
    text, has_room = plan(config)
    assert "gldv2/train" in text
    assert "Disk: 5.0 GB" in text  # of two archives at a time, next to their images
    assert has_room
    for item in needed(config):
        marker = done_marker(tmp_path / "real", item.name)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text("{}")
    assert plan(config) == ("", True)
    config.pop("fetch")
    assert plan(config) == ("", True)


def test_a_set_that_cannot_be_fetched_and_a_disk_that_is_full(tmp_path, monkeypatch):
    other = {"kind": "revisited", "name": "x", "path": str(tmp_path / "real/x")}
    with pytest.raises(InputError, match=r"eval_sets\.x\.path: x below fetch\.path is no set"):
        check(profile(tmp_path, x=other | {"train_set": "landmarks"}), "p.yaml")
    monkeypatch.setattr("sfsc.fetch.plan._free", lambda root: 10**9)
    text, has_room = plan(check(profile(tmp_path), "p.yaml"))
    assert "1.0 GB are free.\nTHAT IS TOO LITTLE" in text
    assert not has_room


def test_kind_name_and_set_must_agree(tmp_path, monkeypatch):
    root = tmp_path / "real"
    oxford = {"kind": "revisited", "name": "roxford5k", "path": str(root / "roxford5k")}
    for change, message in (
        (
            {"name": "rparis6k"},
            r"eval_sets\.x\.path: roxford5k has the name roxford5k, not rparis6k",
        ),
        ({"path": str(root / "gldv2")}, "gldv2 is of the kind gldv2, not revisited"),
        ({"path": str(root / "revisitop1m")}, "revisitop1m is fetched for distractors alone"),
        ({"distractors": str(root / "gldv2")}, r"x\.distractors: gldv2 is fetched for distractors"),
        ({"path": "${NOWHERE}/x"}, "the environment variable NOWHERE is not set"),
    ):
        with pytest.raises(InputError, match=message):
            check(profile(tmp_path, x=oxford | change | {"train_set": "landmarks"}), "p.yaml")
    million = {"distractors": str(root / "revisitop1m"), "train_set": "landmarks"}
    assert len(needed(check(profile(tmp_path, x=oxford | million), "p.yaml"))) == 4 + 2 + 101

    config = profile(tmp_path)
    config["fetch"]["path"] = "${NOWHERE}/real"
    with pytest.raises(InputError, match=r"fetch\.path: the environment variable NOWHERE"):
        check(config, "p.yaml")
    monkeypatch.setenv("MIRROR", "http://host/a")
    assert at_mirror(items("gldv2", "train", Archives())[1], "${MIRROR}/b").md5_url == (
        "http://host/a/b/gldv2/md5sum/train/md5.images_000.txt"
    )


def test_two_sets_share_a_packed_folder_only_with_the_same_images(tmp_path):
    config = profile(tmp_path)
    config["train_sets"]["landmarks"]["packed"] = "p"
    config["train_sets"]["others"] = config["train_sets"]["landmarks"] | {"model": {}}
    check(config, "p.yaml")
    config["train_sets"]["others"]["image_size"] = 64
    with pytest.raises(
        InputError, match=r"others\.packed: p holds other images, those of landmarks"
    ):
        check(config, "p.yaml")
