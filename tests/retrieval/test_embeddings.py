import numpy as np
import pytest

from sfsc.files import InputError
from sfsc.retrieval import embeddings
from sfsc.retrieval.embeddings import EmbeddingFile, blocks


def _good():
    vectors = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("rows", [6, None])
def test_a_good_file_comes_back_as_written(tmp_path, rows):
    path = tmp_path / "query.npy"
    np.save(path, _good())
    file = EmbeddingFile(path, rows)
    assert file.shape == (6, 4)
    assert file[:].dtype == np.float32
    np.testing.assert_array_equal(file[:], _good())


def test_norms_within_the_tolerance_pass(tmp_path):
    path = tmp_path / "query.npy"
    np.save(path, _good() * np.float32(1.0009))
    EmbeddingFile(path, 6)
    np.save(path, _good() * np.float32(1.0011))
    with pytest.raises(InputError, match="row 0 "):
        EmbeddingFile(path, 6)


@pytest.mark.parametrize("size", [1, 4, 6, 100])
def test_blocks_are_the_rows_in_order(tmp_path, size):
    path = tmp_path / "gallery.npy"
    np.save(path, _good())
    parts = list(blocks(EmbeddingFile(path, 6), size))
    assert [start for start, _ in parts] == list(range(0, 6, size))
    np.testing.assert_array_equal(np.concatenate([block for _, block in parts]), _good())
    assert EmbeddingFile(path, 6)[4:4].shape == (0, 4)


def test_a_file_that_is_replaced_meanwhile_stays_as_it_was_checked(tmp_path):
    path = tmp_path / "gallery.npy"
    np.save(path, _good())
    file = EmbeddingFile(path, 6)
    np.save(tmp_path / "other.npy", -_good()[:2])
    (tmp_path / "other.npy").replace(path)
    np.testing.assert_array_equal(file[2:6], _good()[2:6])


def test_a_bad_row_far_from_the_start_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "_CHECKED_ROWS", 4)
    path = tmp_path / "gallery.npy"
    np.save(path, _with(5, 0))
    with pytest.raises(InputError, match=r"row 5 \(from 0\) has norm 0"):
        EmbeddingFile(path, 6)


def _with(row, value):
    array = _good()
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (_good()[:5], "has 5 rows but 6 are expected"),
        (_good()[:0], "has 0 rows but 6 are expected"),
        (_good()[0], r"shape \(4,\)"),
        (_good()[None], r"shape \(1, 6, 4\)"),
        (_good().astype(np.float16), "holds float16"),
        (_good().astype(np.float64), "holds float64"),
        (_good().astype(">f4"), "holds >f4"),
        (np.ones((6, 4), np.int64), "holds int64"),
        (np.asfortranarray(_good()), "Fortran order"),
        (_good().astype(object), "not a whole .npy file"),
        (_with(3, np.nan), r"row 3 \(from 0\) holds NaN or infinity"),
        (_with((2, 1), -np.inf), r"row 2 \(from 0\) holds NaN or infinity"),
        (_with(4, 0), r"row 4 \(from 0\) has norm 0"),
        (_with(5, 1), r"row 5 \(from 0\) has norm 2"),
        (_with(1, 3e38), r"row 1 \(from 0\) has norm inf"),
        (np.ones((6, 0), np.float32), r"row 0 \(from 0\) has norm 0"),
    ],
)
def test_refusals_name_the_file_and_what_is_wrong(tmp_path, array, message):
    path = tmp_path / "gallery.npy"
    np.save(path, array)
    with pytest.raises(InputError, match=message) as caught:
        EmbeddingFile(path, 6)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _truncated(path):
    np.save(path, _good())
    path.write_bytes(path.read_bytes()[:-8])


def _two_arrays(path):
    with path.open("wb") as file:
        np.save(file, _good())
        np.save(file, _good())


def _damaged_header(path):
    np.save(path, _good())
    path.write_bytes(path.read_bytes().replace(b"(6, ", b"(6(, ", 1)[:-1])


def _archive(path):
    with path.open("wb") as file:
        np.savez(file, _good())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not a whole .npy file"),
        (lambda path: path.write_bytes(b""), "not a whole .npy file"),
        (lambda path: path.write_text("0.1,0.2\n"), "not a whole .npy file"),
        (_archive, "not a whole .npy file"),
        (_truncated, "not a whole .npy file"),
        (_damaged_header, "not a whole .npy file"),
        (_two_arrays, r"has \d+ bytes but its header describes \d+"),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path, write, message):
    path = tmp_path / "gallery.npy"
    write(path)
    with pytest.raises(InputError, match=message) as caught:
        EmbeddingFile(path, 6)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
