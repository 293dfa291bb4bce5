"""Nothing half-written stays behind."""

import pytest

from sfsc.files import replacing


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


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with replacing(path) as beside:
        beside.mkdir()
        (beside / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    with pytest.raises(ValueError, match="stop"), replacing(path) as beside:
        beside.mkdir()
        raise ValueError("stop")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
