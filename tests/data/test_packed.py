"""Packed training sets: what is in them, and what interrupted or broken ones do."""

import io
import json
import os
import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from sfsc.data import folder, packed, packing
from sfsc.data.order import Order
from sfsc.data.sets import ArrayImages, FileImages, TrainSet, some_classes
from sfsc.files import InputError

HOW = {"kind": "test"}


def make_source(count=50, broken=(), classes=5):
    """Images of one grey each, which survives JPEG, of 40 pixels."""
    greys = np.arange(count, dtype=np.uint8) * 5
    pixels = np.repeat(greys, 40 * 40 * 3).reshape(count, 40, 40, 3)

    class Some(ArrayImages):
        def read(self, row, least=0):
            if row in broken:
                raise InputError(f"image{row}.jpg: cannot be decoded: cut short")
            return super().read(row, least)

    images = Some([f"image{row}" for row in range(count)], pixels)
    labels = np.arange(count) % classes
    return TrainSet(images, labels, [f"class{label}" for label in range(classes)])


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(packing, "SHARD_ROWS", 16)
    monkeypatch.setattr(packing, "BLOCK_ROWS", 5)


def test_every_image_is_there_once_resized_and_with_its_label(tmp_path):
    source = make_source()
    packing.pack(source, tmp_path, 24, HOW, processes=2)
    found = packed.train_set(tmp_path, HOW)
    assert sorted(found.images.ids) == sorted(source.images.ids)
    assert found.images.ids != source.images.ids  # neighbours are mixed
    assert found.classes == source.classes
    for row, name in enumerate(found.images.ids):
        original = int(name.removeprefix("image"))
        assert found.labels[row] == original % 5
        image = found.images.read(row)
        assert image.shape == (24, 24, 3)
        assert abs(int(image[12, 12, 0]) - original * 5) <= 1
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["images"], manifest["broken"], manifest["shards"]) == (50, 0, 4)
    copy = pickle.loads(pickle.dumps(found.images))  # noqa: S301
    assert copy.read(49).tobytes() == found.images.read(49).tobytes()


def test_any_arrow_library_reads_a_shard(tmp_path):
    packing.pack(make_source(), tmp_path, 24, HOW)
    with pa.ipc.open_file(str(tmp_path / "shard-00000.arrow")) as file:
        rows = file.read_all().to_pylist()
    assert len(rows) == 16
    assert set(rows[0]) == {"id", "label", "jpeg"}
    with Image.open(io.BytesIO(rows[0]["jpeg"])) as image:
        assert (image.format, image.size) == ("JPEG", (24, 24))


def test_the_number_of_processes_and_interruptions_change_nothing(tmp_path, monkeypatch):
    packing.pack(make_source(), tmp_path / "a", 24, HOW, processes=1)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}

    # Killed after two shards, while the third was written.
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_finish", killed)
        with pytest.raises(KeyboardInterrupt):
            packing.pack(make_source(), tmp_path / "b", 24, HOW, processes=2)
    for name in ("shard-00002.arrow", "shard-00003.arrow"):
        (tmp_path / "b" / name).unlink()
    (tmp_path / "b" / ".77.shard-00002.arrow").write_bytes(b"half")
    kept = (tmp_path / "b" / "shard-00000.arrow").stat().st_mtime_ns
    packing.pack(make_source(), tmp_path / "b", 24, HOW, processes=2)
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == expected
    assert (tmp_path / "b" / "shard-00000.arrow").stat().st_mtime_ns == kept


def test_another_size_or_other_images_are_packed_anew(tmp_path):
    packing.pack(make_source(50), tmp_path, 24, HOW)
    packing.pack(make_source(20), tmp_path, 16, HOW)
    found = packed.train_set(tmp_path, HOW)
    assert len(found.images.ids) == 20
    assert found.images.read(0).shape == (16, 16, 3)
    assert len(list(tmp_path.glob("shard-*.arrow"))) == 2


def test_a_finished_set_is_packed_anew_and_another_description_refused(tmp_path):
    packing.pack(make_source(), tmp_path, 24, HOW)
    source = make_source()
    source.images.pixels[:] = 77  # repaired, say, under the same names
    packing.pack(source, tmp_path, 24, HOW)
    found = packed.train_set(tmp_path, HOW)
    assert abs(int(found.images.read(0)[0, 0, 0]) - 77) <= 1
    with pytest.raises(InputError, match=r'packed from .*"test".* says .*"other".*run sfsc pack'):
        packed.train_set(tmp_path, {"kind": "other"})


def test_errors_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no images to pack"):
        packing.pack(make_source(0), tmp_path, 24, HOW)
    packing.pack(make_source(), tmp_path, 24, HOW)
    monkeypatch.setattr(packing, "_encoded", lambda *_: b"no JPEG")
    packing.pack(make_source(), tmp_path, 24, HOW)
    with pytest.raises(InputError, match=r"shard-00000\.arrow: image\d+ cannot be decoded"):
        packed.train_set(tmp_path, HOW).images.read(0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "_encoded", full)
    with pytest.raises(InputError, match="No space left on device"):
        packing.pack(make_source(), tmp_path, 16, HOW)


@pytest.mark.parametrize("name", ["manifest.json", "plan.json", "broken.csv"])
def test_the_files_of_another_program_are_left_alone(tmp_path, name):
    others = [tmp_path / name, tmp_path / "shard-00000.tar", tmp_path / "shard-000000.arrow"]
    for path in others:
        path.write_text('{"version": 2}')
    with pytest.raises(InputError, match=f"{name}: is not of sfsc pack"):
        packing.pack(make_source(), tmp_path, 8, {})
    assert sorted(tmp_path.iterdir()) == sorted(others)
    others.pop(0).unlink()
    packing.pack(make_source(), tmp_path, 8, {})
    packing.pack(make_source(count=40), tmp_path, 8, {})
    assert all(path.read_text() == '{"version": 2}' for path in others)


def test_broken_images_are_listed_and_counted(tmp_path, caplog):
    source = make_source(broken=(3, 17))
    with pytest.raises(InputError, match=r"broken\.csv: lists 2 of 50 images"):
        packing.pack(source, tmp_path, 24, HOW)
    assert (tmp_path / "broken.csv").read_text().splitlines() == [
        "id,reason",
        "image17,image17.jpg: cannot be decoded: cut short",
        "image3,image3.jpg: cannot be decoded: cut short",
    ]
    with pytest.raises(InputError, match="run sfsc pack to its end"):
        packed.train_set(tmp_path, HOW)
    packing.pack(source, tmp_path, 24, HOW, "skip")
    found = packed.train_set(tmp_path, HOW)
    assert len(found.images.ids) == 48
    assert not {"image3", "image17"} & set(found.images.ids)
    assert "left out 2 images" in caplog.text


@pytest.mark.parametrize("place", [0, 5, 15, 45])
def test_rows_are_found_where_a_whole_block_is_broken(tmp_path, place):
    order = np.random.default_rng(0).permutation(50)
    broken = order[place : place + 5].tolist()
    packing.pack(make_source(broken=broken), tmp_path, 24, HOW, "skip")
    found = packed.train_set(tmp_path, HOW)
    assert len(found.images.ids) == 45
    for row, name in enumerate(found.images.ids):
        original = int(name.removeprefix("image"))
        assert abs(int(found.images.read(row)[12, 12, 0]) - original * 5) <= 1


def test_a_packed_set_that_is_not_whole_is_refused(tmp_path):
    packing.pack(make_source(), tmp_path, 24, HOW)
    shard = tmp_path / "shard-00001.arrow"
    content = shard.read_bytes()
    shard.write_bytes(content[:-40])
    with pytest.raises(InputError, match=r"shard-00001\.arrow: cannot be read"):
        packed.train_set(tmp_path, HOW)
    shard.unlink()
    with pytest.raises(InputError, match=r"shard-00001\.arrow: cannot be read"):
        packed.train_set(tmp_path, HOW)
    shard.write_bytes(content)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="another version"):
        packed.train_set(tmp_path, HOW)


def test_large_files_are_decoded_smaller_but_never_too_small(tmp_path):
    """By a half, quarter or eighth; what is packed looks like the file resized at once."""
    y, x = np.mgrid[0:300, 0:400]
    waves = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 50)], axis=-1)
    Image.fromarray((127 + 100 * waves).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    images = FileImages(["a"], [tmp_path / "a.jpg"])
    assert images.read(0).shape == (300, 400, 3)
    assert images.read(0, 151).shape == (300, 400, 3)
    assert images.read(0, 150).shape == (150, 200, 3)
    assert images.read(0, 60).shape == (75, 100, 3)
    cropped = FileImages(["a"], [tmp_path / "a.jpg"], [(0, 0, 200, 100)])
    assert cropped.read(0, 20).shape == (100, 200, 3)
    packing.pack(TrainSet(images, np.zeros(1, np.int64), ["c"]), tmp_path / "p", 60, HOW)
    found = packed.train_set(tmp_path / "p", HOW).images.read(0).astype(int)
    direct = Image.fromarray(images.read(0)).resize((60, 60), Image.Resampling.BICUBIC)
    assert np.abs(found - np.asarray(direct)).mean() < 1.5


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 300), st.integers(2, 40), st.integers(0, 3))
def test_an_order_by_blocks_visits_each_row_once_and_stays_near(count, together, epoch):
    found = Order(np.arange(count), np.zeros(count, np.int64), 1, seed=0, together=together)
    steps = range(epoch * count, (epoch + 1) * count)
    order = torch.cat([found.batch(step)[0] for step in steps])
    assert sorted(order.tolist()) == list(range(count))
    # Only where a short last block shifts the windows does a stretch touch rows of the next one.
    for window in (order // together).split(64 * together):
        assert len(window.unique()) < 64 + together


def test_a_share_of_the_classes_keeps_their_images():
    source = make_source(50, classes=10)
    some = some_classes(source, 0.3)
    assert len(some.classes) == 3
    assert len(some.images.ids) == 15
    for row, name in enumerate(some.images.ids):
        original = int(name.removeprefix("image"))
        assert some.classes[some.labels[row]] == f"class{original % 10}"
        assert some.images.read(row)[0, 0, 0] == original * 5
    assert some_classes(source, 0.3).classes == some.classes
    assert len(some_classes(source, 0.001).classes) == 1
    assert some_classes(source, 1.0).classes == source.classes


def test_a_folder_is_packed_whatever_its_names_and_what_damages_its_images(tmp_path):
    """A name that is not UTF-8; an image at which a decoder raises an error of its own."""
    place = tmp_path / "train" / "cat"
    place.mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(place / os.fsdecode(b"caf\xe9.jpg"))
    if features.check("avif"):
        whole = io.BytesIO()
        Image.new("RGB", (40, 40)).save(whole, "AVIF")
        content = bytearray(whole.getvalue())
        start = content.index(b"iloc") + 4
        content[start : start + 20] = bytes(20)
        (place / "bad.jpg").write_bytes(content)
    packing.pack(folder.train_set(tmp_path), tmp_path / "packed", 24, HOW, on_bad_image="skip")
    assert packed.train_set(tmp_path / "packed", HOW).images.ids == [r"train/cat/caf\xe9.jpg"]
    if features.check("avif"):
        assert "bad.jpg: cannot be decoded" in (tmp_path / "packed" / "broken.csv").read_text()
