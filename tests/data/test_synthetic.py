"""The drawn sets keep the real formats, are the same each time, and look as they should."""

import csv
import hashlib
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfsc.data.synthetic import generate
from sfsc.data.synthetic.draw import Landmark, draw_landmark
from sfsc.data.synthetic.props import draw_props
from sfsc.data.synthetic.views import EASY, HARD, View, draw_view, photograph
from sfsc.files import InputError
from sfsc.profile import SyntheticOptions

TINY = SyntheticOptions(
    image_size=32,
    train_landmarks=4,
    train_views=5,
    test_landmarks=3,
    index_views=4,
    query_views=2,
    revisited_landmarks=3,
    revisited_views=6,
    revisited_queries=2,
    distractors=6,
)
PLAIN = View(
    scale=0.7,
    shift=(0.0, 0.0),
    yaw=0.0,
    pitch=0.0,
    roll=0.0,
    exposure=0.0,
    contrast=1.0,
    warmth=0.0,
    shadow=0.0,
    blur=0.0,
    occlusion=0.0,
)
PROPS = draw_props(np.random.default_rng(0))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    generate(folder, TINY)
    return folder


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def gldv2_ids(root: Path) -> dict[str, list[str]]:
    folder = root / "gldv2"
    return {
        "train": [row[0] for row in rows(folder / "train.csv")[1:]],
        "index": [row[0] for row in rows(folder / "index.csv")[1:]],
        "test": [row[0] for row in rows(folder / "test.csv")[1:]],
    }


def revisited(root: Path) -> dict:
    return pickle.loads((root / "rsynthetic" / "gnd_rsynthetic.pkl").read_bytes())  # noqa: S301


def test_gldv2_tables_have_the_real_columns(root: Path) -> None:
    folder = root / "gldv2"
    assert rows(folder / "train.csv")[0] == ["id", "url", "landmark_id"]
    assert rows(folder / "train_clean.csv")[0] == ["landmark_id", "images"]
    assert rows(folder / "index.csv")[0] == ["id"]
    assert rows(folder / "test.csv")[0] == ["id"]
    assert rows(folder / "retrieval_solution_v2.1.csv")[0] == ["id", "images", "Usage"]


def test_every_gldv2_image_lies_where_its_id_says_and_nothing_else_does(root: Path) -> None:
    listed = set()
    for part, ids in gldv2_ids(root).items():
        for name in ids:
            assert re.fullmatch("[0-9a-f]{16}", name)
            listed.add(root / "gldv2" / part / name[0] / name[1] / name[2] / f"{name}.jpg")
    assert listed == set((root / "gldv2").rglob("*.jpg"))
    for path in listed:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))


def test_no_image_is_in_two_places(root: Path) -> None:
    parts = gldv2_ids(root)
    names = [name for ids in parts.values() for name in ids]
    truth = revisited(root)
    names += truth["imlist"] + truth["qimlist"]
    assert len(names) == len(set(names))
    pictures = [value for path, value in digest(root).items() if path.endswith(".jpg")]
    assert len(pictures) == len(set(pictures)) == len(names)


def test_clean_training_images_are_all_but_a_few_of_the_training_images(root: Path) -> None:
    label_of = {name: label for name, _, label in rows(root / "gldv2" / "train.csv")[1:]}
    clean = {
        name: label
        for label, images in rows(root / "gldv2" / "train_clean.csv")[1:]
        for name in images.split(" ")
    }
    assert len(clean) == TINY.train_landmarks * TINY.train_views
    assert len(set(clean.values())) == TINY.train_landmarks
    assert all(label_of[name] == label for name, label in clean.items())
    noisy = label_of.keys() - clean.keys()
    assert 0 < len(noisy) < len(clean) / 4
    assert {label_of[name] for name in noisy} <= set(clean.values())


def test_solution_names_index_images_and_ignores_some_queries(root: Path) -> None:
    ids = gldv2_ids(root)
    solution = rows(root / "gldv2" / "retrieval_solution_v2.1.csv")[1:]
    assert [row[0] for row in solution] == ids["test"]
    assert {row[2] for row in solution} == {"Private", "Public", "Ignored"}
    assert all((images == "None") == (usage == "Ignored") for _, images, usage in solution)
    positives = [images.split(" ") for _, images, usage in solution if usage != "Ignored"]
    assert len(positives) == TINY.test_landmarks * TINY.query_views
    assert all(len(images) == len(set(images)) == TINY.index_views for images in positives)
    # The queries of one landmark share its images; those of two landmarks share none.
    landmarks = {frozenset(images) for images in positives}
    assert len(landmarks) == TINY.test_landmarks
    shown = frozenset().union(*landmarks)
    assert len(shown) == TINY.test_landmarks * TINY.index_views
    assert shown <= set(ids["index"])
    assert len(set(ids["index"]) - shown) == TINY.distractors


def test_revisited_ground_truth_has_the_real_structure(root: Path) -> None:
    truth = revisited(root)
    assert list(truth) == ["imlist", "qimlist", "gnd"]
    gallery, queries = truth["imlist"], truth["qimlist"]
    assert len(gallery) == TINY.revisited_landmarks * TINY.revisited_views + TINY.distractors
    assert len(queries) == len(truth["gnd"]) == TINY.revisited_landmarks * TINY.revisited_queries
    folder = root / "rsynthetic" / "jpg"
    assert {path.stem for path in folder.iterdir()} == set(gallery) | set(queries)
    for name, query in zip(queries, truth["gnd"], strict=True):
        assert list(query) == ["bbx", "easy", "hard", "junk"]
        assert all(type(value) is list for value in query.values())
        related = query["easy"] + query["hard"] + query["junk"]
        assert len(related) == len(set(related)) == TINY.revisited_views
        assert all(type(row) is int and 0 <= row < len(gallery) for row in related)
        assert query["easy"]
        assert query["hard"]
        assert query["junk"]
        with Image.open(folder / f"{name}.jpg") as image:
            image.load()
            width, height = image.size
        assert width > TINY.image_size
        assert height > TINY.image_size
        x1, y1, x2, y2 = query["bbx"]
        assert all(type(value) is float for value in query["bbx"])
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height


def test_same_options_give_the_same_bytes_and_another_seed_other_images(
    root: Path, tmp_path: Path
) -> None:
    first = digest(root)
    generate(tmp_path / "same", TINY)
    assert digest(tmp_path / "same") == first
    generate(tmp_path / "other", replace(TINY, seed=1))
    other = digest(tmp_path / "other")
    assert not {v for k, v in other.items() if k.endswith(".jpg")} & set(first.values())
    assert len(other) == len(first)


def test_more_training_landmarks_leave_the_test_sets_as_they_are(
    root: Path, tmp_path: Path
) -> None:
    generate(tmp_path / "more", replace(TINY, train_landmarks=6))
    kept = ("gldv2/index", "gldv2/test", "rsynthetic")
    first, more = digest(root), digest(tmp_path / "more")
    for path, value in first.items():
        if path.startswith(kept):
            assert more[path] == value


def test_an_earlier_set_is_replaced(root: Path, tmp_path: Path) -> None:
    for name in ("gldv2", "rsynthetic/jpg"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "old.jpg").write_bytes(b"x")
    generate(tmp_path / "set", TINY)
    assert digest(tmp_path / "set") == digest(root)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"image_size": 31},
        {"train_views": 0},
        {"test_landmarks": 1},
        {"revisited_views": 1},
        {"distractors": -1},
        {"train_landmarks": "20"},
        {"query_views": True},
        {"index_views": 2.0},
        {"train_landmarks": 300_000},
    ],
)
def test_an_option_out_of_range_is_named_before_anything_is_written(
    wrong: dict, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        generate(tmp_path / "set", SyntheticOptions(**wrong))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "gldv2").mkdir()
    (tmp_path / "gldv2" / "precious.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="holds something else"):
        generate(tmp_path, TINY)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file"):
        generate(tmp_path / "file", TINY)
    assert (tmp_path / "gldv2" / "precious.jpg").read_bytes() == b"x"


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    code = (
        # What a shell starts in the background ignores interrupts.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys; from pathlib import Path; from sfsc.data.synthetic import *;"
        "from sfsc.profile import SyntheticOptions;"
        "generate(Path(sys.argv[1]), SyntheticOptions())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "set")], stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while not list(tmp_path.rglob("*.jpg")) and time.monotonic() < until:
        time.sleep(0.02)
    assert list(tmp_path.rglob("*.jpg"))
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    assert list(tmp_path.iterdir()) == []


@given(seed=st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_views_keep_to_their_band(seed: int) -> None:
    rng = np.random.default_rng(seed)
    easy, hard, junk = (
        draw_view(rng, low, high).strength() for low, high in ((0, EASY), (EASY, HARD), (HARD, 1))
    )
    assert 0 <= easy < EASY <= hard < HARD <= junk < 1


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("occlusion", (0.0, 0.2, 0.5, 0.75)),
        ("scale", (0.8, 0.6, 0.4, 0.2)),
        ("shift", ((0.0, 0.0), (0.2, 0.0), (-0.1, 0.3), (0.5, 0.0))),
        ("yaw", (0.0, -0.3, 0.6, -1.0)),
        ("pitch", (0.0, 0.3, 0.6, 1.0)),
        ("roll", (0.0, 2.0, -4.0, 6.0)),
        ("exposure", (0.0, -0.2, 0.4, -0.7)),
        ("contrast", (1.0, 0.9, 1.2, 0.65)),
        ("warmth", (0.0, 0.3, -0.6, 1.0)),
        ("shadow", (0.0, 0.3, -0.6, 1.0)),
        ("blur", (0.0, 0.3, 0.6, 1.0)),
    ],
)
def test_each_change_adds_to_the_strength(field: str, values: tuple) -> None:
    strengths = [replace(PLAIN, **{field: value}).strength() for value in values]
    assert all(weaker < stronger for weaker, stronger in pairwise(strengths))


def test_only_covered_tiny_or_cut_views_are_junk() -> None:
    light = replace(
        PLAIN, scale=0.8, yaw=1, pitch=1, exposure=0.7, warmth=1, shadow=1, blur=1
    ).strength()
    assert EASY < light < HARD
    assert replace(PLAIN, occlusion=0.75).strength() > HARD
    assert replace(PLAIN, scale=0.2).strength() > HARD


def magenta(size: tuple[int, int]) -> Landmark:
    sizes = [size, (size[0] // 2, size[1] // 2), (size[0] // 4, size[1] // 4)]
    first, second, third = (Image.new("RGBA", each, (255, 0, 255, 255)) for each in sizes)
    return Landmark((first, second, third), over_water=False)


def shown(picture: Image.Image) -> np.ndarray:
    pixels = np.asarray(picture).astype(int)
    return (pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] > 180)


@given(
    across=st.integers(80, 300),
    scale=st.floats(0.3, 1.2),
    shift=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)),
    yaw=st.floats(-1, 1),
    pitch=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_the_box_bounds_the_landmark(
    across: int, scale: float, shift: tuple[float, float], yaw: float, pitch: float
) -> None:
    view = replace(PLAIN, scale=scale, shift=shift, yaw=yaw, pitch=pitch)
    shot = photograph(magenta((across, 200)), view, (120, 96), PROPS, np.random.default_rng(0))
    ys, xs = np.nonzero(shown(shot.picture))
    found = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    np.testing.assert_allclose(found, shot.box, atol=3)


def test_occlusion_covers_about_its_share() -> None:
    def visible(occlusion: float, seed: int) -> int:
        view = replace(PLAIN, occlusion=occlusion)
        shot = photograph(magenta((200, 200)), view, (96, 96), PROPS, np.random.default_rng(seed))
        return int(shown(shot.picture).sum())

    shares = [
        np.mean([visible(occlusion, seed) / visible(0.0, seed) for seed in range(10)])
        for occlusion in (0.1, 0.35, 0.7)
    ]
    # Occluders stand beyond the edges and before one another: they cover less than their boxes.
    assert 1 > shares[0] > shares[1] > shares[2] > 0.3
    assert shares[2] < 0.8


def test_landmarks_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    pictures = [
        draw_landmark(np.random.default_rng([1, number])).pictures[0] for number in range(60)
    ]
    again = draw_landmark(np.random.default_rng([1, 7])).pictures[0]
    assert again.tobytes() == pictures[7].tobytes()
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert {picture.mode for picture in pictures} == {"RGBA"}


def test_strangers_can_be_left_out(tmp_path: Path) -> None:
    generate(tmp_path / "set", replace(TINY, distractors=0))
    ids = gldv2_ids(tmp_path / "set")
    assert len(ids["index"]) == TINY.test_landmarks * TINY.index_views
