import dataclasses
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sfsc.data.cifar import CIFAR10, CIFAR100, Archive, retrieval_set, train_set
from sfsc.files import InputError

BATCHES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
PER_BATCH = 3


def members(rng: np.random.Generator) -> dict[str, bytes]:
    names = "\n".join(f"class{number}" for number in range(10)) + "\n\n"
    batches = {}
    for name in BATCHES:
        records = rng.integers(0, 256, (PER_BATCH, 3073), np.uint8)
        records[:, 0] = rng.integers(0, 10, PER_BATCH)
        batches[name] = records.tobytes()
    return {"batches.meta.txt": names.encode(), **batches}


def write(folder: Path, content: dict[str, bytes], like=CIFAR10) -> tuple[Path, Archive]:
    """The archive, and what it should be: the official one's layout, its own checksum."""
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path, dataclasses.replace(like, md5=hashlib.md5(path.read_bytes()).hexdigest())


@pytest.fixture
def content() -> dict[str, bytes]:
    return members(np.random.default_rng(0))


def naive_pixel(batch: bytes, record: int, y: int, x: int) -> list[int]:
    start = record * 3073 + 1
    return [batch[start + plane * 1024 + y * 32 + x] for plane in range(3)]


def test_train_pixels_and_labels_lie_where_the_format_says(tmp_path, content):
    split = train_set(*write(tmp_path, dict(reversed(content.items()))))
    assert split.classes == [f"class{number}" for number in range(10)]
    assert split.images.pixels.shape == (5 * PER_BATCH, 32, 32, 3)
    assert len(set(split.images.ids)) == 5 * PER_BATCH
    for row in range(5 * PER_BATCH):
        batch, record = content[BATCHES[row // PER_BATCH]], row % PER_BATCH
        assert split.labels[row] == batch[record * 3073]
        for y, x in [(0, 0), (0, 31), (17, 4), (31, 31)]:
            assert split.images.pixels[row, y, x].tolist() == naive_pixel(batch, record, y, x)
            assert split.images.read(row)[y, x].tolist() == naive_pixel(batch, record, y, x)


def test_the_test_images_query_each_other(tmp_path, content):
    evaluation = retrieval_set(*write(tmp_path, content))
    assert evaluation.queries is evaluation.gallery
    labels = [content["test_batch.bin"][record * 3073] for record in range(PER_BATCH)]
    truth = evaluation.ground_truth
    assert truth.kind == "labelled"
    for query, relevance in enumerate(truth.relevance["all"]):
        same = [row for row in range(PER_BATCH) if labels[row] == labels[query] and row != query]
        assert relevance.positives.tolist() == same
        assert relevance.junk.tolist() == [query]


def test_another_checksum_is_refused_with_both_values(tmp_path, content):
    path, own = write(tmp_path, content)
    with pytest.raises(InputError, match=rf"{path}.*{own.md5}.*c32a1d4ab5d03f1284b67883e8d87530"):
        train_set(path, CIFAR10)
    with pytest.raises(InputError, match=r"cannot be read"):
        train_set(tmp_path / "absent.tar.gz", CIFAR10)


def test_another_version_or_a_folder_is_told_what_to_get(tmp_path, content):
    python_version = {name.removesuffix(".bin"): data for name, data in content.items()}
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz, the official binary version"):
        train_set(write(tmp_path, python_version)[0], CIFAR10)
    with pytest.raises(
        InputError, match=r"is a folder; give the archive cifar-100-binary\.tar\.gz"
    ):
        train_set(tmp_path, CIFAR100)


def test_of_cifar_100_the_fine_labels_count(tmp_path):
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (4, 3074), np.uint8)
    records[:, 0], records[:, 1] = [19, 3, 3, 0], [7, 0, 99, 7]
    content = {
        "fine_label_names.txt": "\n".join(f"fine{number}" for number in range(100)).encode(),
        "train.bin": records.tobytes(),
        "test.bin": records[::-1].tobytes(),
    }
    path, archive = write(tmp_path, content, CIFAR100)
    split = train_set(path, archive)
    assert split.labels.tolist() == [7, 0, 99, 7]
    assert split.classes[99] == "fine99"
    pixel = [records[2, 2 + plane * 1024 + 5 * 32 + 9] for plane in range(3)]
    assert split.images.pixels[2, 5, 9].tolist() == pixel
    truth = retrieval_set(path, archive).ground_truth
    assert truth.relevance["all"][0].positives.tolist() == [3]


def test_refuses_what_is_not_the_binary_version(tmp_path, content):
    no_batch = {name: data for name, data in content.items() if name != "data_batch_3.bin"}
    with pytest.raises(InputError, match=r"lacks data_batch_3\.bin"):
        train_set(*write(tmp_path, no_batch))
    cut = {**content, "data_batch_2.bin": content["data_batch_2.bin"][:-1]}
    with pytest.raises(InputError, match=r"data_batch_2\.bin does not hold whole records"):
        train_set(*write(tmp_path, cut))
    with pytest.raises(InputError, match="label 200"):
        train_set(*write(tmp_path, {**content, "data_batch_1.bin": b"\xc8" + bytes(3072)}))


@pytest.mark.parametrize("keep", [0, 1000, 30_000])
def test_a_cut_or_foreign_archive_is_named(tmp_path, content, keep):
    path, _ = write(tmp_path, content)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"tar\.gz"):
        train_set(
            path, dataclasses.replace(CIFAR10, md5=hashlib.md5(path.read_bytes()).hexdigest())
        )
