"""Google Landmarks v2: the cleaned training set, and retrieval with the v2.1 solution.

Weyand et al., CVPR 2020; the layout is the official one of cvdfoundation/google-landmark.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sfsc.data.labels import read_csv, refuse_repeats
from sfsc.data.sets import FileImages, GroundTruth, Relevance, RetrievalSet, TrainSet
from sfsc.files import InputError

_IMAGE_ID = re.compile(r"[0-9a-f]{16}")
_EMPTY = np.empty(0, np.int64)
_NOTHING = Relevance(_EMPTY, _EMPTY)


class _Paths(Sequence[Path]):
    """ROOT/SPLIT/a/b/c/<id>.jpg for each id, made when asked for: the sets hold millions."""

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        self._folder = folder
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: int) -> Path:  # type: ignore[override]
        name = self._ids[row]
        return self._folder / name[0] / name[1] / name[2] / f"{name}.jpg"


def train_set(root: Path) -> TrainSet:
    """The images of `root`/train_clean.csv (`landmark_id,images`), in file order.

    Classes are the landmark ids in increasing numeric order. Raises InputError for a missing
    column, a landmark id that is no number, a malformed image id, and a repeated id of either.
    """
    path = root / "train_clean.csv"
    table = read_csv(path, ["landmark_id", "images"])
    landmarks, rows = table["landmark_id"], table.rows
    for row, landmark in zip(rows, landmarks, strict=True):
        if not (landmark.isascii() and landmark.isdecimal()):
            raise InputError(f"{path}: row {row}: landmark_id {landmark!r} is not a whole number")
    refuse_repeats(path, landmarks, rows)

    images = [field.split() for field in table["images"]]
    for row, landmark, of_landmark in zip(rows, landmarks, images, strict=True):
        if not of_landmark:
            raise InputError(f"{path}: row {row}: landmark {landmark} has no images")
    counts = np.array([len(of_landmark) for of_landmark in images], np.int64)
    ids = [image for of_landmark in images for image in of_landmark]
    _check_image_ids(path, ids, np.repeat(rows, counts).tolist())

    classes = sorted(landmarks, key=int)
    label = {landmark: index for index, landmark in enumerate(classes)}
    labels = np.repeat(np.array([label[landmark] for landmark in landmarks], np.int64), counts)
    return TrainSet(FileImages(ids, _Paths(root / "train", ids)), labels, classes)


def retrieval_set(root: Path) -> RetrievalSet:
    """Queries: the ids of `root`/test.csv that the solution scores. Gallery: `root`/index.csv.

    Both keep their file's order. Raises InputError for a missing column, malformed or repeated
    ids, a scored query that test.csv lacks, and whatever `ground_truth` refuses.
    """
    solution = root / "retrieval_solution_v2.1.csv"
    table = read_csv(solution, ["id", "images", "usage"])
    scored = {
        query: position
        for position, query in enumerate(table["id"])
        if _listed(table["images"][position]) and table["usage"][position].lower() != "ignored"
    }
    tested = _ids(root / "test.csv")
    known = set(tested)
    for query, position in scored.items():
        if query not in known:
            raise InputError(
                f"{solution}: row {table.rows[position]}: query {query!r} is not in"
                f" {root / 'test.csv'}; take both files from the same release"
            )
    query_ids = [query for query in tested if query in scored]
    gallery_ids = _ids(root / "index.csv")
    return RetrievalSet(
        FileImages(query_ids, _Paths(root / "test", query_ids)),
        FileImages(gallery_ids, _Paths(root / "index", gallery_ids)),
        ground_truth(solution, query_ids, gallery_ids),
    )


def ground_truth(
    solution: Path, query_ids: Sequence[str], gallery_ids: Sequence[str]
) -> GroundTruth:
    """Relevance under `private` and `public` for embeddings whose rows are the given ids.

    `solution` is retrieval_solution_v2.1.csv (`id,images,Usage`). A query has positives under the
    protocol that its Usage names, and none where it is ignored. Raises InputError for a repeated
    id, a query that the solution lacks, a positive that the gallery lacks, and another Usage.
    """
    table = read_csv(solution, ["id", "images", "usage"])
    refuse_repeats(solution, table["id"], table.rows)
    refuse_repeats("query ids", query_ids, range(1, len(query_ids) + 1))
    refuse_repeats("gallery ids", gallery_ids, range(1, len(gallery_ids) + 1))
    position_of = {query: position for position, query in enumerate(table["id"])}
    gallery_row = {image: row for row, image in enumerate(gallery_ids)}
    private, public = [_NOTHING] * len(query_ids), [_NOTHING] * len(query_ids)
    protocols = {"private": private, "public": public}
    for row, query in enumerate(query_ids):
        if query not in position_of:
            raise InputError(
                f"{solution}: has no row for the query {query!r} (row {row + 1} of the query ids)"
            )
        position = position_of[query]
        usage = table["usage"][position]
        if usage.lower() == "ignored":
            continue
        if usage.lower() not in protocols:
            raise InputError(
                f"{solution}: row {table.rows[position]}: Usage {usage!r} of {query!r} is none of"
                " Public, Private, Ignored"
            )
        positives = []
        for image in _listed(table["images"][position]):
            if image not in gallery_row:
                raise InputError(
                    f"{solution}: row {table.rows[position]}: {image!r}, a positive of {query!r},"
                    " is not among the gallery ids; evaluate against the whole index"
                )
            positives.append(gallery_row[image])
        protocols[usage.lower()][row] = Relevance(np.unique(np.array(positives, np.int64)), _EMPTY)
    return GroundTruth("gldv2", query_ids, gallery_ids, protocols)


def _listed(images: str) -> list[str]:
    return [] if images == "None" else images.split()


def _ids(path: Path) -> list[str]:
    table = read_csv(path, ["id"])
    _check_image_ids(path, table["id"], table.rows)
    return table["id"]


def _check_image_ids(path: Path, ids: Sequence[str], rows: Sequence[int]) -> None:
    for image, row in zip(ids, rows, strict=True):
        if not _IMAGE_ID.fullmatch(image):
            raise InputError(f"{path}: row {row}: image id {image!r} is not 16 hexadecimal digits")
    refuse_repeats(path, ids, rows)
