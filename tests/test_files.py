"""Nothing half-written stays behind, and nothing but our own is replaced."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sfsc.files import InputError, OutputError, replacing, replacing_folder


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as beside:
        assert beside.suffix == ".txt"
        beside.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_an_exception_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole_where_it_is_ours(tmp_path):
    path = tmp_path / "folder"
    (path / "figures").mkdir(parents=True)
    (path / "figures" / "old.png").touch()
    ours = ["figures/*.png"]
    with replacing_folder(path, ours) as beside:
        (beside / "figures").mkdir()
        (beside / "figures" / "new.png").touch()
    assert [p.name for p in path.rglob("*.*")] == ["new.png"]
    with pytest.raises(ValueError, match="stop"), replacing_folder(path, ours):
        raise ValueError("stop")
    (path / "figures" / "thesis.txt").touch()
    with (
        pytest.raises(InputError, match=r"folder: holds something else, figures/thesis\.txt"),
        replacing_folder(path, ours),
    ):
        pass
    assert sorted(p.name for p in path.rglob("*.*")) == ["new.png", "thesis.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_the_mode_follows_the_umask_whatever_the_writer(tmp_path):
    earlier = os.umask(0o027)
    try:
        with replacing(tmp_path / "a") as beside:
            beside.unlink()
            os.close(os.open(beside, os.O_CREAT, 0o600))
    finally:
        os.umask(earlier)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_links_are_written_through(tmp_path):
    (tmp_path / "link").symlink_to("disk/file")
    for text in ("first", "second"):
        with replacing(tmp_path / "link") as beside:
            assert beside.name.endswith("link")
            beside.write_text(text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "disk" / "file").read_text() == text
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OutputError, match="round: cannot be written"):
        replacing(tmp_path / "round").__enter__()
    assert (tmp_path / "round").is_symlink()


def test_standard_output_goes_on_where_it_is(tmp_path):
    code = (
        "from pathlib import Path; from sfsc.files import replacing\n"
        "with replacing(Path('/dev/stdout')) as beside: beside.write_text('mine ')"
    )
    path = tmp_path / "all"
    path.write_text("earlier ")
    with path.open("a") as file:
        for _ in range(2):
            subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert path.read_text() == "earlier mine mine "


@pytest.mark.parametrize("place", ["", ".", "..", "file/below", "/dev/full", "/proc/none/a"])
def test_what_is_no_place_is_one_line(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(InputError) as refused, replacing(Path(place)) as beside:
        beside.write_text("text")
    assert str(refused.value).startswith(f"{Path(place)}: ")
    assert "\n" not in str(refused.value)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
