import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sfsc.data.gldv2 import ground_truth, retrieval_set, train_set
from sfsc.files import InputError


def image_id(number: int) -> str:
    return f"{number:016x}"


A, B, C, D, E = (image_id(number * 0x1234567890ABC) for number in range(1, 6))


def write_train(root: Path, *rows: str) -> Path:
    (root / "train_clean.csv").write_text("\n".join(["landmark_id,images", *rows]) + "\n")
    return root


def write_retrieval(root: Path, solution: list[str], test: list[str], index: list[str]) -> Path:
    text = "\n".join(["id,images,Usage", *solution])
    (root / "retrieval_solution_v2.1.csv").write_text(text + "\n")
    (root / "test.csv").write_text("\n".join(["id", *test]) + "\n")
    (root / "index.csv").write_text("\n".join(["id", *index]) + "\n")
    return root


def test_classes_are_in_numeric_order_and_images_in_file_order(tmp_path):
    split = train_set(write_train(tmp_path, f"100,{C} {A}", f"9,{B}", f"27,{E} {D}"))
    assert split.classes == ["9", "27", "100"]
    assert list(split.images.ids) == [C, A, B, E, D]
    assert split.labels.tolist() == [2, 2, 0, 1, 1]
    assert split.labels.dtype == np.int64


def test_an_image_lies_under_the_first_three_characters_of_its_id(tmp_path):
    images = train_set(write_train(tmp_path, f"1,{A} {B}")).images
    path = tmp_path / "train" / B[0] / B[1] / B[2] / f"{B}.jpg"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (20, 10), "red").save(path)
    assert images.read(1).shape == (10, 20, 3)
    with pytest.raises(InputError, match=A):
        images.read(0)


def test_a_landmark_with_more_images_than_a_csv_module_field_can_hold(tmp_path):
    ids = [image_id(number) for number in range(12_000)]
    split = train_set(write_train(tmp_path, f"138982,{' '.join(ids)}"))
    assert list(split.images.ids) == ids


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"1,{A}", "2,xyz"], "row 3.*'xyz'.*16"),
        ([f"1,{A.upper()}"], "row 2"),
        ([f"1,{A[:-2]}/."], "row 2"),
        ([f"1,{A}", f"2,{B} {A}"], f"row 3: '{A}' is already in row 2"),
        ([f"1,{A}", f"1,{B}"], "row 3: '1' is already in row 2"),
        ([f"1.5,{A}"], "row 2: landmark_id '1.5'"),
        ([f"1,{A}", "2,"], "row 3: landmark 2 has no images"),
    ],
)
def test_train_refuses(tmp_path, rows, message):
    with pytest.raises(InputError, match=rf"train_clean\.csv.*{message}"):
        train_set(write_train(tmp_path, *rows))


def test_a_missing_file_or_column_is_named(tmp_path):
    with pytest.raises(InputError, match=r"train_clean\.csv"):
        train_set(tmp_path)
    (tmp_path / "train_clean.csv").write_text("landmark_id,image\n")
    with pytest.raises(InputError, match=r"train_clean\.csv.*'images'"):
        train_set(tmp_path)


def test_queries_are_the_scored_ids_in_the_order_of_test_csv(tmp_path):
    solution = [f"{A},None,Ignored", f"{B},{D} {C},Private", f"{C},,Public", f"{D},{E},Public"]
    evaluation = retrieval_set(write_retrieval(tmp_path, solution, [E, D, C, B, A], [C, E, D]))
    assert list(evaluation.queries.ids) == [D, B]
    assert list(evaluation.gallery.ids) == [C, E, D]
    truth = evaluation.ground_truth
    assert truth.kind == "gldv2"
    assert list(truth.query_ids) == [D, B]
    positives = {
        protocol: [relevance.positives.tolist() for relevance in truth.relevance[protocol]]
        for protocol in truth.relevance
    }
    assert positives == {"public": [[1], []], "private": [[], [0, 2]]}
    path = tmp_path / "test" / D[0] / D[1] / D[2] / f"{D}.jpg"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (4, 5)).save(path)
    assert evaluation.queries.read(0).shape == (5, 4, 3)


@pytest.mark.parametrize(
    ("solution", "test", "index", "message"),
    [
        ([f"{A},{C},Public"], [A], [B], f"solution.*row 2: '{C}', a positive of '{A}'"),
        ([f"{A},{C},Secret"], [A], [C], "solution.*row 2: Usage 'Secret'"),
        ([f"{A},{C},Public"] * 2, [A], [C], f"solution.*row 3: '{A}' is already in row 2"),
        ([f"{A},{C},Public"], [B], [C], f"solution.*row 2: query '{A}' is not in .*test.csv"),
        ([f"{A},{C},Public"], [A, "../x"], [C], r"test\.csv: row 3"),
        ([f"{A},{C},Public"], [A], [C, C], rf"index\.csv: row 3: '{C}'"),
    ],
)
def test_retrieval_refuses(tmp_path, solution, test, index, message):
    with pytest.raises(InputError, match=message):
        retrieval_set(write_retrieval(tmp_path, solution, test, index))


def test_ground_truth_follows_the_rows_of_the_embeddings(tmp_path):
    path = tmp_path / "solution.csv"
    path.write_text(f"id,images,Usage\n{A},{C} {D} {C},Private\n{B},None,Ignored\n")
    truth = ground_truth(path, [B, A], [D, E, C])
    private = [relevance.positives.tolist() for relevance in truth.relevance["private"]]
    assert private == [[], [0, 2]]
    with pytest.raises(InputError, match=f"'{E}'.*row 2 of the query ids"):
        ground_truth(path, [A, E], [D, E, C])
    with pytest.raises(InputError, match=f"gallery ids: row 3: '{C}'"):
        ground_truth(path, [A], [D, C, C])
    with pytest.raises(InputError, match=f"query ids: row 2: '{A}'"):
        ground_truth(path, [A, A], [D, C])


@given(data=st.data())
def test_relevance_agrees_with_a_naive_lookup(tmp_path_factory, data):
    gallery = data.draw(st.permutations([image_id(number) for number in range(8)]))
    queries = [image_id(number) for number in range(100, 104)]
    usages = st.sampled_from(["Public", "Private", "Ignored"])
    rows = {
        query: (data.draw(st.sets(st.sampled_from(gallery))), data.draw(usages))
        for query in queries
    }
    path = tmp_path_factory.mktemp("gldv2") / "solution.csv"
    lines = [f"{query},{' '.join(found) or 'None'},{use}" for query, (found, use) in rows.items()]
    path.write_text("\n".join(["id,images,Usage", *lines]))
    truth = ground_truth(path, data.draw(st.permutations(queries)), gallery)
    for row, query in enumerate(truth.query_ids):
        for protocol in ("public", "private"):
            found, usage = rows[query]
            expected = [
                place
                for place, image in enumerate(gallery)
                if usage.lower() == protocol and image in found
            ]
            assert truth.relevance[protocol][row].positives.tolist() == expected


def test_the_full_index_takes_seconds(tmp_path):
    gallery = [image_id(number) for number in range(761_757)]
    path = tmp_path / "solution.csv"
    rows = [f"{image_id(10**9 + number)},{gallery[number]},Public" for number in range(1000)]
    path.write_text("\n".join(["id,images,Usage", *rows]))
    start = time.perf_counter()
    ground_truth(path, [row.split(",")[0] for row in rows], gallery)
    assert time.perf_counter() - start < 5
