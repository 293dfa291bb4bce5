import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsc.data.labels import ground_truth
from sfsc.files import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def positives(truth) -> list[list[int]]:
    return [relevance.positives.tolist() for relevance in truth.relevance["all"]]


def junk(truth) -> list[list[int]]:
    return [relevance.junk.tolist() for relevance in truth.relevance["all"]]


def test_without_roles_every_row_queries_the_others(tmp_path):
    truth = ground_truth(write(tmp_path, "id,label\na,x\nb,None\nc,x\nd,NA\ne,None\n"))
    assert truth.kind == "labelled"
    assert list(truth.query_ids) == list(truth.gallery_ids) == ["a", "b", "c", "d", "e"]
    assert positives(truth) == [[2], [4], [0], [], [1]]
    assert junk(truth) == [[0], [1], [2], [3], [4]]


def test_with_roles_queries_search_the_gallery(tmp_path):
    text = "label,role,id\nx,gallery,a\ny,query,a\nx,query,b\ny,gallery,c\nx,gallery,d\nz,query,e\n"
    truth = ground_truth(write(tmp_path, text))
    assert (truth.query_ids, truth.gallery_ids) == (["a", "b", "e"], ["a", "c", "d"])
    assert positives(truth) == [[1], [0, 2], []]
    assert junk(truth) == [[], [], []]


labels = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=3)


@given(rows=st.lists(st.tuples(labels, st.sampled_from(["query", "gallery"])), min_size=1))
def test_any_labels_agree_with_a_naive_loop(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "role"])
        for number, (label, role) in enumerate(rows):
            writer.writerow([number, label, role])
    queries = [label for label, role in rows if role == "query"]
    gallery = [label for label, role in rows if role == "gallery"]
    if not queries or not gallery:
        with pytest.raises(InputError, match="no row has the role"):
            ground_truth(path)
        return
    expected = [[row for row, label in enumerate(gallery) if label == wanted] for wanted in queries]
    assert positives(ground_truth(path)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n , \n", "is empty"),
        ("id,label\n", "has no rows"),
        ("id,class\na,x\n", "no column 'label'"),
        ("id,label\na,x\nb,y\na,z\n", "row 4: 'a' is already in row 2"),
        ("id,label\na,x\nb\n", "row 3: the label is empty"),
        ("id,label\n,x\n", "row 2: the id is empty"),
        ("id,label\na,x,1\nb,y,2\n", "row 2: has 3 fields, but the header 2"),
        ("id,label\na,x\n\nb,y,2\n", "row 4: has 3 fields"),
        ('id,label\na,"x\n', "is not CSV"),
        ("id,label,Label\na,x,x\n", "the column 'label' twice"),
        ("id,label,role\na,x,query\nb,x,index\n", "row 3: role 'index'"),
        ("id,label,role\na,x,query\nb,x,query\n", "no row has the role gallery"),
        ("id,label,role\na,x,query\nb,x,gallery\na,y,query\n", "row 4: 'a' is already in row 2"),
    ],
)
def test_refuses(tmp_path, text, message):
    with pytest.raises(InputError, match=rf"labels\.csv: .*{message}") as raised:
        ground_truth(write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_files_that_are_no_text_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    with pytest.raises(InputError, match=r"labels\.csv: no such file"):
        ground_truth(path)
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(InputError, match=r"labels\.csv"):
        ground_truth(path)
    with pytest.raises(InputError, match="is a folder; name the file itself"):
        ground_truth(tmp_path)
    path.write_text("id,label\na,Zürich\n", encoding="latin1")
    with pytest.raises(InputError, match=r"labels\.csv: line 2 is not UTF-8"):
        ground_truth(path)


def test_other_programs_ways_of_writing_are_read(tmp_path):
    expected = ground_truth(
        write(tmp_path, "id,label,role\na,x,query\nb,1,query\nc,x,gallery\nd,1,gallery\n")
    )
    text = (
        '\ufeff\n"ID", Label ,"Role",""\r\n"a", "x","Query",\r\n\r\nb,1,QUERY\r\n'
        "c,x, gallery,\r\n,,,\r\nd,1,gallery\r\n\r\n"
    )
    truth = ground_truth(write(tmp_path, text))
    assert (truth.query_ids, truth.gallery_ids) == (["a", "b"], ["c", "d"])
    assert positives(truth) == positives(expected) == [[0], [1]]


def test_what_looks_like_a_number_or_a_missing_value_is_a_name(tmp_path):
    names = ["01", "1", "NA", "nan", "null", "true", "1e5", "100000", "None", "2024"]
    text = "id,label\n" + "".join(f"{name},{name}\n" for name in names)
    truth = ground_truth(write(tmp_path, text))
    assert truth.query_ids == names
    assert positives(truth) == [[] for _ in names]


def test_a_column_that_is_passed_over_is_named(tmp_path, caplog):
    ground_truth(write(tmp_path, "id,label,rolle\na,x,query\nb,x,gallery\n"))
    assert "not rolle" in caplog.text
