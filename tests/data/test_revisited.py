import contextlib
import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfsc.data.revisited import ground_truth, load_gnd, retrieval_set
from sfsc.files import InputError

GND = {
    "imlist": ["a", "b", "c", "d", "e", "f"],
    "qimlist": ["p", "q"],
    "gnd": [
        {"bbx": [1.0, 2.0, 11.0, 22.0], "easy": [4, 0], "hard": [2], "junk": [5]},
        {"bbx": np.array([0, 0, 5, 5]), "easy": [], "hard": np.array([3, 1]), "junk": []},
    ],
}


def write(folder: Path, content: object, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    path = folder / "gnd_tiny.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def rows(relevance) -> list[tuple[list[int], list[int]]]:
    return [(query.positives.tolist(), query.junk.tolist()) for query in relevance]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_protocols_of_the_official_evaluation(tmp_path, protocol):
    truth = ground_truth(write(tmp_path, GND, protocol))
    assert truth.kind == "revisited"
    assert (truth.query_ids, truth.gallery_ids) == (GND["qimlist"], GND["imlist"])
    assert rows(truth.relevance["easy"]) == [([0, 4], [2, 5]), ([], [1, 3])]
    assert rows(truth.relevance["medium"]) == [([0, 2, 4], [5]), ([1, 3], [])]
    assert rows(truth.relevance["hard"]) == [([2], [0, 4, 5]), ([1, 3], [])]
    for relevance in truth.relevance.values():
        assert all(part.dtype == np.int64 for query in relevance for part in vars(query).values())


def test_queries_are_cropped_and_gallery_images_are_not(tmp_path):
    write(tmp_path, GND)
    (tmp_path / "jpg").mkdir()
    for name in ("p", "a"):
        Image.new("RGB", (40, 30)).save(tmp_path / "jpg" / f"{name}.jpg")
    evaluation = retrieval_set(tmp_path, "tiny")
    assert evaluation.queries.read(0).shape == (20, 10, 3)
    assert evaluation.gallery.read(0).shape == (30, 40, 3)
    whole = retrieval_set(tmp_path, "tiny", query_crop=False)
    assert whole.queries.read(0).shape == (30, 40, 3)
    assert list(evaluation.gallery.ids) == GND["imlist"]
    with pytest.raises(InputError, match=r"q\.jpg"):
        evaluation.queries.read(1)


def test_boxes_that_leave_the_image(tmp_path, caplog):
    """Outside of it: refused, by file. Beyond its edge: black, as Pillow crops, and said."""
    outside = copy.deepcopy(GND)
    outside["gnd"][0]["bbx"] = [40.0, 2.0, 50.0, 22.0]
    outside["gnd"][1]["bbx"] = [30.0, 0.0, 50.0, 5.0]
    write(tmp_path, outside)
    (tmp_path / "jpg").mkdir()
    for name in ("p", "q"):
        Image.new("RGB", (40, 30), "white").save(tmp_path / "jpg" / f"{name}.jpg")
    queries = retrieval_set(tmp_path, "tiny").queries
    with pytest.raises(InputError, match=r"p\.jpg: the box .* lies outside the image of 40x30"):
        queries.read(0)
    crop = queries.read(1)
    assert crop.shape == (5, 20, 3)
    assert crop[:, :10].min() > 250
    assert crop[:, 10:].max() == 0
    assert "q.jpg: the box" in caplog.text


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([-1e300, -1e300, 1e300, 1e300], r"p\.jpg: the box .* reaches too far beyond"),
        ([0, 0, 20000, 20000], r"p\.jpg: the box .* reaches too far beyond the image of 40x30"),
        ([3.1, 3.1, 3.4, 9.0], r"p\.jpg: the box .* holds not one pixel"),
        ([1e300, 0, 2e300, 5], r"p\.jpg: the box .* lies outside"),
    ],
)
def test_boxes_far_outside_are_one_line(tmp_path, box, message):
    far = copy.deepcopy(GND)
    far["gnd"][0]["bbx"] = box
    write(tmp_path, far)
    (tmp_path / "jpg").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "jpg" / "p.jpg")
    with pytest.raises(InputError, match=message):
        retrieval_set(tmp_path, "tiny").queries.read(0)


def test_boxes_count_stored_pixels(tmp_path):
    write(tmp_path, GND)
    (tmp_path / "jpg").mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("p", "a"):
        Image.new("RGB", (40, 30)).save(tmp_path / "jpg" / f"{name}.jpg", exif=turned)
    evaluation = retrieval_set(tmp_path, "tiny")
    assert evaluation.queries.read(0).shape == (20, 10, 3)
    assert evaluation.gallery.read(0).shape == (30, 40, 3)


def test_distractors_join_the_gallery_and_nothing_else_changes(tmp_path):
    write(tmp_path, GND)
    million = tmp_path / "revisitop1m"
    (million / "jpg" / "00").mkdir(parents=True)
    Image.new("RGB", (7, 9)).save(million / "jpg/00/a.jpg")
    (million / "revisitop1m.txt").write_text("00/a.jpg\n01/b.jpg\n")
    alone, among = (retrieval_set(tmp_path, "tiny", x) for x in (None, million))
    ids = [*GND["imlist"], "revisitop1m/00/a.jpg", "revisitop1m/01/b.jpg"]
    assert list(among.gallery.ids) == list(among.ground_truth.gallery_ids) == ids
    assert among.gallery.read(6).shape == (9, 7, 3)
    with pytest.raises(InputError, match=r"01/b\.jpg: no such image"):
        among.gallery.read(7)
    for protocol, relevance in alone.ground_truth.relevance.items():
        assert rows(among.ground_truth.relevance[protocol]) == rows(relevance)
    for text, message in (("../x.jpg", "leads out"), ("a.jpg\na.jpg", "already in row 1")):
        (million / "revisitop1m.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            retrieval_set(tmp_path, "tiny", million)
    (million / "revisitop1m.txt").write_bytes(b"00/a.jpg\r\n\r\n01/b.jpg \n\n")
    assert list(retrieval_set(tmp_path, "tiny", million).gallery.ids) == ids
    with pytest.raises(InputError, match=r"revisitop1m\.txt: no such file"):
        retrieval_set(tmp_path, "tiny", tmp_path)


def test_reads_python_2_pickles_with_numpy_arrays(tmp_path):
    def text(value: bytes) -> bytes:  # the str of Python 2
        return b"U" + bytes([len(value)]) + value

    minus_one = b"J\xff\xff\xff\xff"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
        b"(K\x01(K\x02tcnumpy\ndtype\n(" + text(b"i8") + b"K\x00K\x01tR"
        b"(K\x03" + text(b"<") + b"NNN" + minus_one * 2 + b"K\x00tb"
        b"\x89" + text(np.array([200, 130], "<i8").tobytes()) + b"tb"
    )
    images = b"".join(text(b"im%d" % number) for number in range(201))
    query = text(b"bbx") + b"(K\x00K\x00K\x05K\x05l" + text(b"easy") + array + text(b"hard") + b"(l"
    pickled = (
        b"\x80\x02(" + text(b"imlist") + b"(" + images + b"l" + text(b"qimlist") + b"("
        b"" + text(b"q") + b"l" + text(b"gnd") + b"((" + query + text(b"junk") + b"(ldld."
    )
    path = tmp_path / "gnd_old.pkl"
    path.write_bytes(pickled)
    assert load_gnd(path)["gnd"][0]["easy"].tolist() == [130, 200]


class Runs:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_never_runs_what_a_pickle_names(tmp_path, protocol):
    trace = tmp_path / "trace"
    path = write(tmp_path, {**GND, "extra": Runs(os.mkdir, str(trace))}, protocol)
    with pytest.raises(InputError, match=r"gnd_tiny\.pkl: refuses to load \w+\.mkdir: "):
        load_gnd(path)
    assert not trace.exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, np.fromfile])
def test_refuses_other_functions_of_allowed_modules(tmp_path, function):
    path = write(tmp_path, {**GND, "extra": Runs(function, "x")})
    with pytest.raises(InputError, match="refuses to load"):
        load_gnd(path)


def test_refuses_arrays_of_objects(tmp_path):
    path = write(tmp_path, {**GND, "extra": np.array([None, "x"])})
    with pytest.raises(InputError, match="refuses to load an array of type 'O8'"):
        load_gnd(path)


def test_reads_arrays_and_numbers_of_any_type_and_byte_order(tmp_path):
    gnd = copy.deepcopy(GND)
    gnd["gnd"][0] = {
        "bbx": np.array([1, 2, 3.5, 4], ">f4"),
        "easy": np.array([[1, 0], [3, 2]], ">i2", order="F")[:, 0],
        "hard": [np.int64(2), np.uint8(5)],
        "junk": np.array([]),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        query = load_gnd(write(tmp_path, gnd, protocol))["gnd"][0]
        assert query["bbx"] == (1, 2, 3.5, 4)
        assert [query[key].tolist() for key in ("easy", "hard", "junk")] == [[1, 3], [2, 5], []]


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_forged_bytes_never_crash(tmp_path, protocol):
    whole = pickle.dumps(GND, protocol)
    rng = np.random.default_rng(protocol)
    path = tmp_path / "gnd_tiny.pkl"
    for _ in range(300):
        forged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            forged[place] = rng.integers(256)
        path.write_bytes(forged)
        with contextlib.suppress(InputError):
            load_gnd(path)


def test_refuses_a_dotted_way_out_of_an_allowed_name(tmp_path):
    path = tmp_path / "gnd_tiny.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x14ndarray.__subclass__\x93.")
    with pytest.raises(InputError, match=r"refuses to load numpy\.ndarray\.__subclass__"):
        load_gnd(path)


@given(data=st.data())
def test_broken_pickles_are_input_errors(tmp_path_factory, data):
    whole = pickle.dumps(GND, protocol=data.draw(st.sampled_from([0, 2, 5])))
    path = tmp_path_factory.mktemp("broken") / "gnd_x.pkl"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(InputError, match=r"gnd_x\.pkl"):
        load_gnd(path)
    path.write_bytes(data.draw(st.binary(max_size=40)))
    with pytest.raises(InputError, match=r"gnd_x\.pkl"):
        load_gnd(path)


@pytest.mark.parametrize(
    ("query", "change", "message"),
    [
        (0, {"bbx": [1, 2, 3]}, "'p': bbx"),
        (0, {"bbx": [1, 2, 3, float("nan")]}, "'p': bbx"),
        (1, {"bbx": [5, 2, 5, 4]}, "'q': bbx"),
        (1, {"bbx": [0, 4, 5, 2]}, "'q': bbx"),
        (1, {"bbx": "none"}, "'q': bbx"),
        (0, {"easy": [6]}, "'p': easy has the row 6, but imlist has the rows 0 to 5"),
        (0, {"junk": [-1, 2]}, "'p': junk has the row -1"),
        (0, {"hard": [0.5]}, "'p': hard must be a flat list"),
        (0, {"hard": [[1], [2]]}, "'p': hard must be a flat list"),
        (0, {"hard": [[1], [2, 3]]}, "'p': hard is a ragged list"),
        (1, {"hard": ["a"]}, "'q': hard must be a flat list"),
    ],
)
def test_refuses_a_broken_query(tmp_path, query, change, message):
    gnd = copy.deepcopy(GND)
    gnd["gnd"][query].update(change)
    with pytest.raises(InputError, match=rf"gnd_tiny\.pkl: query {message}"):
        load_gnd(write(tmp_path, gnd))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({**GND, "imlist": None}, "'imlist'"),
        ({"imlist": [], "gnd": []}, "'qimlist'"),
        ({**GND, "qimlist": ["p"]}, "1 queries but gnd 2"),
        ({**GND, "imlist": ["a"] * 6}, "imlist lists an image twice"),
        ({**GND, "qimlist": ["p", 3]}, "qimlist must hold strings"),
        ({**GND, "gnd": [GND["gnd"][0], 7]}, "query 'q': is a int"),
        ({**GND, "gnd": [GND["gnd"][0], {"bbx": [0, 0, 1, 1]}]}, "query 'q': lacks the key 'easy'"),
    ],
)
def test_refuses_another_structure(tmp_path, content, message):
    with pytest.raises(InputError, match=rf"gnd_tiny\.pkl.*{message}"):
        load_gnd(write(tmp_path, content))


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gnd_tiny\.pkl: no such file"):
        load_gnd(tmp_path / "gnd_tiny.pkl")
