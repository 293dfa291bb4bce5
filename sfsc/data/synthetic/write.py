"""Writes drawn landmarks in the on-disk formats of Google Landmarks v2 and Revisited Oxford."""

import csv
import hashlib
import math
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from sfsc.data.sets import Box
from sfsc.data.synthetic.draw import Landmark, draw_landmark
from sfsc.data.synthetic.props import draw_props
from sfsc.data.synthetic.views import EASY, HARD, View, draw_view, photograph
from sfsc.files import InputError, replacing_folder
from sfsc.profile import CLASSES_OF_GLDV2, SyntheticOptions
from sfsc.progress import progress
from sfsc.schema import keywords

_JPEG_QUALITY = 90
_VIEWS_OF_A_STRANGER = 4
_FOLDERS = {"gldv2", "rsynthetic"}
_OURS = ("gldv2/*.csv", "gldv2/*.jpg", "rsynthetic/gnd_rsynthetic.pkl", "rsynthetic/jpg/*.jpg")
# A Revisited landmark's views take these in turn: two fifths easy, two fifths hard, a fifth junk.
_BANDS = (
    ("easy", 0.0, EASY),
    ("hard", EASY, HARD),
    ("easy", 0.0, EASY),
    ("hard", EASY, HARD),
    ("junk", HARD, 1.0),
)


def generate(root: Path, options: SyntheticOptions) -> None:
    """Write ROOT/gldv2 and ROOT/rsynthetic; the same options give the same bytes (from the same
    versions of NumPy and Pillow).

    Google Landmarks v2 (github.com/cvdfoundation/google-landmark): train.csv (with noisy images
    that train_clean.csv leaves out), train_clean.csv, index.csv, test.csv,
    retrieval_solution_v2.1.csv and {train,index,test}/a/b/c/<16 hex digits>.jpg.
    Revisited Oxford (github.com/filipradenovic/revisitop): gnd_rsynthetic.pkl and jpg/<name>.jpg;
    easy, hard and junk follow from View.strength. No landmark is in two of the training set, the
    GLDv2 test and the Revisited set.

    Raises InputError for an option out of range, and where ROOT is there already but is not what
    an earlier call wrote.
    """
    _check(root, options)
    with (
        replacing_folder(root, _OURS) as folder,
        progress(None, "landmarks", "image") as bar,
    ):
        studio = _Studio(options, bar)
        _write_gldv2(folder / "gldv2", options, studio)
        _write_revisited(folder / "rsynthetic", options, studio)


def _check(root: Path, options: SyntheticOptions) -> None:
    for each in fields(SyntheticOptions):
        value, bounds = getattr(options, each.name), keywords(SyntheticOptions, each.name)
        least, most = bounds["minimum"], bounds.get("maximum", math.inf)
        if type(value) is not int or not least <= value <= most:
            raise InputError(
                f"synthetic option {each.name}: {value!r} should be a whole number >= {least}"
                + (f" and <= {most}" if "maximum" in bounds else "")
            )
    if root.exists() and not (
        root.is_dir() and {p.name for p in root.iterdir()} in (set(), _FOLDERS)
    ):
        raise InputError(f"{root}: holds something else; name a new folder for synthetic landmarks")


class _Studio:
    """Draws and photographs landmarks; each picture depends on the seed and its key alone."""

    def __init__(self, options: SyntheticOptions, bar: "tqdm[NoReturn]") -> None:
        self._options = options
        self._bar = bar
        self._props = draw_props(self.rng("props"))

    def rng(self, key: str) -> np.random.Generator:
        word = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
        return np.random.default_rng([self._options.seed, word])

    def landmark(self, key: str) -> Landmark:
        return draw_landmark(self.rng(f"landmark {key}"))

    def image_id(self, key: str) -> str:
        """16 hex digits that tell nothing of the key."""
        return hashlib.sha256(f"{self._options.seed} {key}".encode()).hexdigest()[:16]

    def view(self, key: str, low: float, high: float) -> View:
        return draw_view(self.rng(f"view {key}"), low, high)

    def write(
        self, landmark: Landmark, view: View, path: Path, key: str, size: tuple[int, int]
    ) -> Box:
        shot = photograph(landmark, view, size, self._props, self.rng(f"scene {key}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        shot.picture.save(path, quality=_JPEG_QUALITY)
        self._bar.update()
        return shot.box


def _write_gldv2(folder: Path, options: SyntheticOptions, studio: _Studio) -> None:
    def write(part: str, landmark: Landmark, key: str) -> str:
        name = studio.image_id(key)
        path = folder / part / name[0] / name[1] / name[2] / f"{name}.jpg"
        size = (options.image_size, options.image_size)
        studio.write(landmark, studio.view(key, 0.0, HARD), path, key, size)
        return name

    def views(part: str, landmark: Landmark, key: str, count: int) -> list[str]:
        return [write(part, landmark, f"{key} {part} {view}") for view in range(count)]

    def strangers(part: str, count: int) -> list[str]:
        """Images of landmarks that nothing else shows, at most _VIEWS_OF_A_STRANGER of each."""
        names: list[str] = []
        while len(names) < count:
            key = f"gldv2 {part} stranger {len(names)}"
            some = min(_VIEWS_OF_A_STRANGER, count - len(names))
            names += views(part, studio.landmark(key), key, some)
        return names

    rng = studio.rng("gldv2")
    classes = np.sort(rng.choice(CLASSES_OF_GLDV2, options.train_landmarks, replace=False)).tolist()
    clean = {
        label: views(
            "train", studio.landmark(f"train {label}"), f"train {label}", options.train_views
        )
        for label in classes
    }
    wrong = strangers("train", max(1, options.train_landmarks * options.train_views // 20))
    labels = {name: label for label, names in clean.items() for name in names}
    labels |= dict(zip(wrong, rng.choice(classes, len(wrong)).tolist(), strict=True))

    solution: dict[str, list[str]] = {}
    index: list[str] = []
    for number in range(options.test_landmarks):
        key = f"test {number}"
        landmark = studio.landmark(key)
        positives = sorted(views("index", landmark, key, options.index_views))
        index += positives
        queries = views("test", landmark, key, options.query_views)
        solution |= dict.fromkeys(queries, positives)
    index += strangers("index", options.distractors)
    # As in the real set, a third of the scored queries is public; both parts have at least one.
    scored = rng.permutation(sorted(solution)).tolist()
    public = set(scored[: max(1, len(scored) // 3)])
    usage = {name: "Public" if name in public else "Private" for name in scored}
    usage |= dict.fromkeys(strangers("test", max(1, len(scored) // 10)), "Ignored")

    _write_csv(
        folder / "train.csv",
        ("id", "url", "landmark_id"),
        ((name, f"https://example.org/{name}.jpg", labels[name]) for name in sorted(labels)),
    )
    _write_csv(
        folder / "train_clean.csv",
        ("landmark_id", "images"),
        ((label, " ".join(sorted(names))) for label, names in clean.items()),
    )
    _write_csv(folder / "index.csv", ("id",), ((name,) for name in sorted(index)))
    _write_csv(folder / "test.csv", ("id",), ((name,) for name in sorted(usage)))
    _write_csv(
        folder / "retrieval_solution_v2.1.csv",
        ("id", "images", "Usage"),
        ((name, " ".join(solution.get(name, ["None"])), usage[name]) for name in sorted(usage)),
    )


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_revisited(folder: Path, options: SyntheticOptions, studio: _Studio) -> None:
    side = options.image_size

    def write(landmark: Landmark, view: View, key: str, size: tuple[int, int]) -> tuple[str, Box]:
        name = studio.image_id(key)
        return name, studio.write(landmark, view, folder / "jpg" / f"{name}.jpg", key, size)

    gallery: list[str] = []
    queries: dict[str, tuple[Box, dict[str, list[str]]]] = {}
    for number in range(options.revisited_landmarks):
        landmark = studio.landmark(f"revisited {number}")
        bands: dict[str, list[str]] = {"easy": [], "hard": [], "junk": []}
        for shot in range(options.revisited_views):
            key = f"revisited {number} gallery {shot}"
            band, low, high = _BANDS[shot % len(_BANDS)]
            name, _ = write(landmark, studio.view(key, low, high), key, (side, side))
            bands[band].append(name)
        gallery += [name for names in bands.values() for name in names]
        for shot in range(options.revisited_queries):
            key = f"revisited {number} query {shot}"
            # Level, so that the box is upright.
            view = replace(studio.view(key, 0.0, EASY), roll=0.0)
            name, box = write(landmark, view, key, (side * 3 // 2, side * 5 // 4))
            queries[name] = box, bands
    for number in range(options.distractors):
        key = f"revisited stranger {number // _VIEWS_OF_A_STRANGER}"
        shot_key = f"{key} {number % _VIEWS_OF_A_STRANGER}"
        view = studio.view(shot_key, 0.0, 1.0)
        gallery.append(write(studio.landmark(key), view, shot_key, (side, side))[0])

    gallery.sort()
    row = {name: number for number, name in enumerate(gallery)}
    ground_truth = {
        "imlist": gallery,
        "qimlist": sorted(queries),
        "gnd": [
            {"bbx": list(box)}
            | {band: sorted(row[name] for name in names) for band, names in bands.items()}
            for _, (box, bands) in sorted(queries.items())
        ],
    }
    with (folder / "gnd_rsynthetic.pkl").open("wb") as file:
        pickle.dump(ground_truth, file, protocol=4)
