"""Archives that are damaged: an error, never fewer files."""

import gzip
import io
import lzma
import tarfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.archives import files_in
from sfsc.files import InputError

FILES = {f"{number}.txt": bytes([number]) * (300 * number) for number in range(5)}


def tar(compression=""):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read(path, most_bytes=None):
    with files_in(path, "test", most_bytes) as files:
        return {name.as_posix(): content.read() for name, content in files}


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.xz"])
def test_whole_archives(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(tar({"tar": "", "tar.xz": "xz"}.get(ending, "gz")))
    assert read(path) == FILES


HEADERS = [
    512 * sum(1 + -(-len(FILES[f"{earlier}.txt"]) // 512) for earlier in range(number))
    for number in range(6)
]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, HEADERS[-1] + 511), st.integers(1, 255))
def test_a_damaged_byte_hides_no_file(tmp_path_factory, place, change):
    """In a header, or in the blocks that end the archive; contents have no checksum in a tar."""
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    content = bytearray(tar())
    content[place] ^= change
    path.write_bytes(content)
    try:
        found = read(path)
    except InputError:
        return
    assert found.keys() == FILES.keys()


@pytest.mark.parametrize("number", range(1, 5))
def test_a_header_of_zeros_hides_no_file(tmp_path, number):
    content = bytearray(tar())
    content[HEADERS[number] : HEADERS[number] + 512] = bytes(512)
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tar: is not a readable archive: files follow"):
        read(tmp_path / "a.tar")


@pytest.mark.parametrize("end", [0, 100, *HEADERS])
def test_a_cut_is_noticed_also_where_a_file_ends(tmp_path, end):
    for name, compress in (
        ("a.tar", bytes),
        ("a.tar.gz", gzip.compress),
        ("a.tar.xz", lzma.compress),
    ):
        (tmp_path / name).write_bytes(compress(tar()[:end]))
        with pytest.raises(InputError, match="is not a readable archive"):
            read(tmp_path / name)


def test_the_end_of_a_compression_is_checked(tmp_path):
    whole = tar("gz")
    damaged = bytearray(whole)
    damaged[-6] ^= 1  # of the checksum
    for content in (whole[:-4], damaged):
        (tmp_path / "a.tgz").write_bytes(content)
        with pytest.raises(InputError, match="is not a readable archive"):
            read(tmp_path / "a.tgz")


def test_no_more_comes_out_than_may(tmp_path):
    (tmp_path / "a.tgz").write_bytes(tar("gz"))
    assert read(tmp_path / "a.tgz", 20_000) == FILES
    with pytest.raises(InputError, match=r"a\.tgz: unpacks to more than 3,000 bytes"):
        read(tmp_path / "a.tgz", 3000)


def test_an_error_of_the_reader_is_its_own(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar())
    with pytest.raises(OSError, match="disk full"), files_in(tmp_path / "a.tar", "test"):
        raise OSError("disk full")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), compression=st.sampled_from(["", "gz", "xz"]))
def test_nothing_but_an_input_error_comes_of_damage(tmp_path_factory, data, compression):
    """In headers, most of all: there, tarfile raises much that is no TarError."""
    content = bytearray(tar(compression))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 511))
        content[place % len(content)] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"a.tar.{compression}".rstrip(".")
    path.write_bytes(content)
    with suppress(InputError):
        read(path)
