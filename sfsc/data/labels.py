"""Ground truth that labels imply, from a labels file or for a set whose images query each other."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth, Images, LabelRelevance, RetrievalSet
from sfsc.files import InputError


def read_csv(path: Path, required: Sequence[str]) -> dict[str, list[str]]:
    """All columns of a CSV file as strings, in which `None` or an empty field stays what it is.

    A field that a short row lacks is empty. Raises InputError for an absent or malformed file and
    for a missing column.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # It warns where it drops the fields of rows that are longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{path}: its rows have more fields than its header") from None
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path}: is not a CSV file: {' '.join(str(error).split())}") from None
    for column in required:
        if column not in table:
            raise InputError(f"{path}: has no column {column!r}, only {table.columns.tolist()}")
    return {column: table[column].tolist() for column in table.columns}


def csv_row(position: int) -> int:
    """The number of a table's row as InputErrors give it: the header is row 1."""
    return position + 2


def refuse_repeats(source: Path | str, ids: Sequence[str], rows: Sequence[int]) -> None:
    """Raise InputError if an id occurs twice; `rows` are the ids' row numbers in `source`."""
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for item, row in zip(ids, rows, strict=True):
        if item in first:
            raise InputError(
                f"{source}: row {row}: {item!r} is already in row {first[item]}; ids must be unique"
            )
        first[item] = row


def leave_one_out(images: Images, labels: NDArray[np.int64]) -> RetrievalSet:
    """The set in which every image queries all others; `labels` is int64, (N,)."""
    relevance = LabelRelevance(labels, labels, leave_one_out=True)
    truth = GroundTruth("labelled", images.ids, images.ids, {"all": relevance})
    return RetrievalSet(images, images, truth)


def ground_truth(path: Path) -> GroundTruth:
    """The ground truth of a labels file; rows keep the file's order.

    The CSV has the columns `id,label`, and every row queries the others (leave one out); or
    `id,label,role` with role `query` or `gallery`. Labels are arbitrary strings. Raises InputError
    for a missing column, an empty or repeated id (within its role), an empty label, another role,
    and a role without rows.
    """
    table = read_csv(path, ["id", "label"])
    ids = table["id"]
    if not ids:
        raise InputError(f"{path}: has no rows; it needs one row an image")
    for column in ("id", "label"):
        if "" in table[column]:
            row = csv_row(table[column].index(""))
            raise InputError(f"{path}: row {row}: the {column} is empty; each row needs one")
    labels = np.unique(np.array(table["label"], dtype=np.str_), return_inverse=True)[1]
    if "role" not in table:
        refuse_repeats(path, ids, [csv_row(position) for position in range(len(ids))])
        relevance = LabelRelevance(labels, labels, leave_one_out=True)
        return GroundTruth("labelled", ids, ids, {"all": relevance})

    positions: dict[str, list[int]] = {"query": [], "gallery": []}
    for position, role in enumerate(table["role"]):
        if role not in positions:
            raise InputError(
                f"{path}: row {csv_row(position)}: role {role!r} is neither query nor gallery"
            )
        positions[role].append(position)
    ids_of: dict[str, list[str]] = {}
    for role, chosen in positions.items():
        if not chosen:
            raise InputError(f"{path}: no row has the role {role}; both roles need rows")
        ids_of[role] = [ids[position] for position in chosen]
        refuse_repeats(path, ids_of[role], [csv_row(position) for position in chosen])
    relevance = LabelRelevance(
        labels[positions["query"]], labels[positions["gallery"]], leave_one_out=False
    )
    return GroundTruth("labelled", ids_of["query"], ids_of["gallery"], {"all": relevance})
