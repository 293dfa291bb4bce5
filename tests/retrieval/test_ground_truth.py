"""Ground truths of three formats, by what the files hold."""

import pickle

import pytest

from sfsc.files import InputError
from sfsc.retrieval.ground_truth import read

GND = {
    "imlist": ["a", "b"],
    "qimlist": ["q"],
    "gnd": [{"bbx": [0.0, 0.0, 5.0, 5.0], "easy": [0], "hard": [], "junk": [1]}],
}
IDS = [f"{number:016x}" for number in range(4)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["gnd", "gnd.pickle", "gnd.PKL", "gnd.csv"])
def test_a_pickle_is_known_by_its_content(tmp_path, protocol, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(GND, protocol))
    assert read(path, None, None).kind == "revisited"


def test_a_solution_is_known_by_its_columns_in_any_writing(tmp_path):
    path, ids = tmp_path / "solution.pkl", tmp_path / "ids"
    rows = "".join(f'"{query}", "{IDS[0]}","PRIVATE"\n\n' for query in IDS[1:])
    path.write_text(f'\ufeff"ID","Images","usage"\n{rows}', encoding="utf-8")
    ids.write_text('"id"\n' + "".join(f'"{query}"\r\n\r\n' for query in IDS[:2]))
    (tmp_path / "queries").write_text("\n".join(IDS[1:]) + " \n\n")
    truth = read(path, tmp_path / "queries", ids)
    assert truth.kind == "gldv2"
    assert (truth.query_ids, truth.gallery_ids) == (IDS[1:], IDS[:2])
    assert [r.positives.tolist() for r in truth.relevance["private"]] == [[0]] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\na,1\nb,2\n", "none of its 2 queries has a positive in the gallery"),
        ("id,label,role\na,1,query\nb,2,gallery\n", "none of its 1 queries"),
        ("<html>\n", "has no column 'id', only"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path, text, message):
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"truth\.csv: {message}"):
        read(path, None, None)
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path, None, None)
