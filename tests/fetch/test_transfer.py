"""Downloads from a server that misbehaves."""

import random

import pytest

from sfsc.fetch.transfer import download
from sfsc.files import InputError

CONTENT = random.Random(0).randbytes(3_000_000)
MOST = 10_000_000


@pytest.fixture
def file(site):
    (site.folder / "a.bin").write_bytes(CONTENT)
    return f"{site.url}/a.bin"


@pytest.mark.parametrize(
    "faults", [[], [500, 503], ["cut"], ["cut", "cut", 500, "cut"], ["cut", "whole"], [408, 429]]
)
def test_failures_that_pass_are_tried_again(site, file, tmp_path, faults):
    site.faults["a.bin"] = list(faults)
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert not site.faults["a.bin"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "site"]


def test_a_download_that_was_cut_is_continued(site, file, tmp_path):
    (tmp_path / "got.part").write_bytes(CONTENT[:2_000_000])
    download(file, tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert site.bytes["a.bin"] == 1_000_000


def test_a_server_without_ranges_sends_it_from_the_start(site, file, tmp_path):
    (tmp_path / "got.part").write_bytes(CONTENT[:2_000_000])
    site.faults["a.bin"] = ["whole"]
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_a_part_that_holds_all_or_more_is_fetched_anew(site, file, tmp_path):
    (tmp_path / "got.part").write_bytes(CONTENT + b"more")
    download(file, tmp_path / "got", MOST, pause=0.01)
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([404], "the server answers 404; check the address, or set fetch.mirror to a copy"),
        ([403], "the server answers 403; check"),
        ([500] * 5, "the server answers 500; try again later"),
        (["endless"], "sends more than 10,000,000 bytes"),
    ],
)
def test_others_are_one_clear_line_and_leave_nothing(site, file, tmp_path, faults, message):
    site.faults["a.bin"] = list(faults)
    with pytest.raises(InputError, match=rf"/a\.bin: {message}"):
        download(file, tmp_path / "got", MOST, pause=0.01)
    assert not (tmp_path / "got").exists()


def test_no_server_and_no_file(tmp_path):
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9/a: .*; try again later"):
        download("http://127.0.0.1:9/a", tmp_path / "got", MOST, pause=0.01)
    with pytest.raises(InputError, match="check the address"):
        download(f"file://{tmp_path}/nowhere", tmp_path / "got", MOST, pause=0.01)
    with pytest.raises(InputError, match="check the address"):
        download("gopher://127.0.0.1/a", tmp_path / "got", MOST, pause=0.01)


def test_a_folder_of_this_machine_is_a_source(tmp_path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    download((tmp_path / "a.bin").as_uri(), tmp_path / "got", MOST)
    assert (tmp_path / "got").read_bytes() == CONTENT
