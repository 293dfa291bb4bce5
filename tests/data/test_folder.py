import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfsc.data.folder import loose_images, retrieval_set, train_set
from sfsc.files import InputError


def encoded(colour: str = "red", size: tuple[int, int] = (8, 6), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


RED, BLUE = (255, 0, 0), (0, 0, 255)
# Neither classes nor files are in order, as in an archive made by hand.
CONTENT = {
    "train/dog/2.png": encoded("red"),
    "test/dog/1.png": encoded("blue"),
    "train/cat/9.png": encoded("blue"),
    "train/dog/1.png": encoded("blue"),
    "test/cat/1.png": encoded("red"),
    "test/cat/2.PNG": encoded("red"),
    "train/cat/notes.txt": b"no image",
    "train/cat/._9.png": b"no image",
    "README": b"no image",
    "train/.ipynb_checkpoints/0-checkpoint.png": encoded("red"),
    "train/__MACOSX/1.png": encoded("red"),
    "train/@eaDir/1.png": encoded("red"),
    "train/dog/Thumbs.db": b"no image",
    "__MACOSX/train/cow/1.png": encoded("red"),
}
TRAIN_IDS = ["train/cat/9.png", "train/dog/1.png", "train/dog/2.png"]


def write_folder(root: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_tar(path: Path, content: dict[str, bytes], prefix: str = "") -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(params=["folder", "x.tar", "x.tar.gz", "x.tar.xz"])
def source(request, tmp_path) -> Path:
    if request.param == "folder":
        return write_folder(tmp_path / "images", CONTENT)
    return write_tar(tmp_path / request.param, CONTENT)


def test_train_is_sorted_and_labelled_by_class(source):
    split = train_set(source)
    assert list(split.images.ids) == TRAIN_IDS
    assert split.classes == ["cat", "dog"]
    assert split.labels.tolist() == [0, 1, 1]
    assert split.labels.dtype == np.int64
    found = [tuple(split.images.read(row)[0, 0].tolist()) for row in range(3)]
    assert found == [BLUE, BLUE, RED]


def test_test_images_query_each_other(source):
    evaluation = retrieval_set(source)
    assert evaluation.queries is evaluation.gallery
    assert list(evaluation.gallery.ids) == ["test/cat/1.png", "test/cat/2.PNG", "test/dog/1.png"]
    relevance = list(evaluation.ground_truth.relevance["all"])
    assert [query.positives.tolist() for query in relevance] == [[1], [0], []]
    assert [query.junk.tolist() for query in relevance] == [[0], [1], [2]]


@pytest.mark.parametrize("prefix", ["./", "cifar10/", "./data/sets/"])
def test_folders_that_lead_to_the_split_are_stripped(tmp_path, prefix):
    split = train_set(write_tar(tmp_path / "x.tar", CONTENT, prefix))
    assert list(split.images.ids) == TRAIN_IDS
    assert split.images.pixels.shape == (3, 6, 8, 3)
    assert split.images.pixels.dtype == np.uint8


def test_grey_and_jpeg_images_become_rgb(tmp_path):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), 128).save(buffer, "JPEG")
    content = {"train/a/1.jpeg": buffer.getvalue(), "train/a/2.jpg": encoded("red", (4, 4), "JPEG")}
    pixels = train_set(write_tar(tmp_path / "x.tar.gz", content)).images.pixels
    assert pixels[0, 0, 0].tolist() == [128, 128, 128]
    assert abs(pixels[1, 0, 0].astype(int) - RED).max() < 5


@pytest.mark.parametrize(
    "extra",
    [
        {"train/cat/a.png": encoded(size=(65, 65))},
        {"train/cat/a.png": encoded(size=(6, 8))},
    ],
)
def test_large_or_uneven_images_are_to_be_extracted(tmp_path, extra):
    path = write_tar(tmp_path / "x.tar", CONTENT | extra)
    with pytest.raises(InputError, match=r"x\.tar: train/cat/a\.png is .*extract it"):
        train_set(path)
    assert len(retrieval_set(path).gallery.ids) == 3
    folder = write_folder(tmp_path / "images", CONTENT | extra)
    assert len(train_set(folder).images.ids) == 4


@pytest.mark.parametrize("name", ["/etc/train/a/1.png", "../train/a/1.png", "x/../train/a/1.png"])
def test_members_that_lead_out_are_refused(tmp_path, name):
    path = write_tar(tmp_path / "x.tar", CONTENT | {name: encoded()})
    with pytest.raises(InputError, match=rf"x\.tar: {name} leads out"):
        train_set(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = write_tar(tmp_path / "x.tar", CONTENT)
    member = tarfile.TarInfo("train/cat/link.png")
    member.type, member.linkname = kind, "train/cat/9.png"
    with tarfile.open(path, "a") as archive:
        archive.addfile(member)
    with pytest.raises(InputError, match=r"x\.tar: train/cat/link\.png is a link"):
        train_set(path)


@pytest.mark.parametrize("broken", [b"no image", b"", encoded()[:50], encoded(form="JPEG")[:-30]])
def test_a_broken_image_stops_or_is_left_out_as_asked(tmp_path, caplog, broken):
    path = write_tar(tmp_path / "x.tar.xz", {"train/cat/0.png": broken} | CONTENT)
    with pytest.raises(InputError, match=r"x\.tar\.xz: train/cat/0\.png cannot be decoded"):
        train_set(path)
    split = train_set(path, on_bad_image="skip")
    assert list(split.images.ids) == TRAIN_IDS
    assert "left out 1 images" in caplog.text


def test_a_member_held_twice_is_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", CONTENT)
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("./train/dog/1.png"))
    with pytest.raises(InputError, match=r"x\.tar: holds train/dog/1\.png twice"):
        train_set(path)


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_no_cut_archive_passes_for_a_whole_one(tmp_path, ending):
    rng = np.random.default_rng(0)
    whole = {f"train/a/{number}.png": encoded() + rng.bytes(900) for number in range(8)}
    path = write_tar(tmp_path / f"x.tar{ending}", whole)
    data = path.read_bytes()
    last_byte = data.rindex(whole["train/a/7.png"][-1:]) if not ending else len(data) - 64
    for length in [*range(0, last_byte, 97), *range(0, last_byte, 512)]:
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"x\.tar"):
            train_set(path)


@pytest.mark.parametrize("name", ["absent", "x.zip", "x.tar", "x.tar.xz"])
def test_what_is_no_archive_is_named(tmp_path, name):
    path = tmp_path / name
    if name != "absent":
        path.write_bytes(b"not an archive" * 512)
    with pytest.raises(InputError, match=name):
        train_set(path)


def test_a_split_without_images_is_refused(tmp_path):
    only_test = {name: data for name, data in CONTENT.items() if name.startswith("test/")}
    message = "has no images train/<class>"
    with pytest.raises(InputError, match=message):
        train_set(write_folder(tmp_path / "images", only_test))
    with pytest.raises(InputError, match=message):
        train_set(write_tar(tmp_path / "x.tar", only_test))


def test_litter_is_no_part_of_a_gallery(tmp_path):
    root = write_folder(tmp_path / ".cache" / "images", CONTENT)
    assert loose_images(root).ids == sorted([*TRAIN_IDS, *retrieval_set(root).gallery.ids])


def test_links_to_folders_are_followed_once(tmp_path):
    elsewhere = write_folder(tmp_path / "elsewhere", {"x/hit.png": encoded()})
    root = write_folder(tmp_path / "gallery", {"b/1.png": encoded()})
    (root / "a").symlink_to("b")  # is there under its own name
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "x" / "back").symlink_to(root)
    assert loose_images(root).ids == ["b/1.png", "linked/x/hit.png"]
    (root / "train").mkdir()
    (root / "train" / "cat").symlink_to(elsewhere / "x")
    assert train_set(root).images.ids == ["train/cat/hit.png"]


def test_what_is_no_file_is_no_image_but_a_broken_link_is_named(tmp_path):
    root = write_folder(
        tmp_path / "train" / "cat", {"1.png": encoded(), "2.png/note": b""}
    ).parents[1]
    os.mkfifo(root / "train" / "cat" / "3.png")
    assert train_set(root).images.ids == ["train/cat/1.png"]
    (root / "train" / "cat" / "4.png").symlink_to("nowhere")
    images = train_set(root).images
    with pytest.raises(InputError, match=r"4\.png: no such image"):
        images.read(1)


def test_a_name_that_is_not_utf_8_becomes_text(tmp_path, source):
    name = os.fsdecode(b"caf\xe9")
    content = {f"train/{name}/{name}.png": encoded(), "train/dog/1.png": encoded()}
    for root in (
        write_folder(tmp_path / "named", content),
        write_tar(tmp_path / "named.tar", content),
    ):
        split = train_set(root)
        assert split.images.ids == [r"train/caf\xe9/caf\xe9.png", "train/dog/1.png"]
        assert split.classes == [r"caf\xe9", "dog"]
        assert split.images.read(0).shape == (6, 8, 3)


def test_photographs_are_turned_as_viewers_show_them(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "JPEG", exif=turned)
    content = {f"{split}/a/1.jpg": buffer.getvalue() for split in ("train", "test")}
    folder = write_folder(tmp_path / "images", content)
    archive = write_tar(tmp_path / "images.tar", content)
    sets = [train_set(folder).images, retrieval_set(archive).gallery, loose_images(folder)]
    assert {images.read(0).shape for images in sets} == {(8, 6, 3)}
