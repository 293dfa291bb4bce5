"""Ground truth that labels imply, from a labels file or for a set whose images query each other."""

import csv
import io
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth, Images, LabelRelevance, RetrievalSet
from sfsc.files import InputError, read_text

_log = logging.getLogger(__name__)

_COLUMNS = ("id", "label", "role")


@dataclass(frozen=True)
class Table:
    """A CSV file as text: its columns, by lower-case name, and the line in which each row ends."""

    columns: Mapping[str, list[str]]
    rows: list[int]

    def __getitem__(self, column: str) -> list[str]:
        return self.columns[column]


def read_csv(path: Path, required: Sequence[str]) -> Table:
    """All columns of a CSV file; names and missing values such as `None` or 01 stay as they are.

    Column names count in any case, spaces around names and fields do not, and blank lines are
    passed over. A field that a short row lacks is empty. Raises InputError for a file that
    `sfsc.files.read_text` refuses, a malformed one, a missing or repeated column, and a row that is
    longer than the header.
    """
    csv.field_size_limit(sys.maxsize)  # the images of one landmark are one field
    reader = csv.reader(io.StringIO(read_text(path)), skipinitialspace=True, strict=True)
    header: list[str] = []
    fields: list[list[str]] = []
    rows: list[int] = []
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if not any(cells):
                continue
            if not header:
                header = cells
                continue
            if any(cells[len(header) :]):
                raise InputError(
                    f"{path}: row {reader.line_num}: has {len(cells)} fields, but the header"
                    f" {len(header)}; quote fields that hold a comma"
                )
            fields.append(cells + [""] * (len(header) - len(cells)))
            rows.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: is not CSV: {error}") from None
    if not header:
        raise InputError(f"{path}: is empty; it needs the columns {', '.join(required)}")
    names = [name.lower() for name in header]
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"{path}: has the column {name!r} twice; keep one of them")
    for column in required:
        if column not in names:
            raise InputError(f"{path}: has no column {column!r}, only {header}")
    return Table(
        {name: [cells[place] for cells in fields] for place, name in enumerate(names)}, rows
    )


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
    `id,label,role` with role `query` or `gallery`. Labels are arbitrary strings. Other columns are
    passed over, which the log says. Raises InputError for a missing column, an empty or repeated id
    (within its role), an empty label, another role, and a role without rows.
    """
    table = read_csv(path, ["id", "label"])
    ids, rows = table["id"], table.rows
    others = [name for name in table.columns if name not in _COLUMNS]
    if others:
        _log.warning("%s: reads %s; not %s", path, ", ".join(_COLUMNS), ", ".join(others))
    if not ids:
        raise InputError(f"{path}: has no rows; it needs one row an image")
    for column in ("id", "label"):
        if "" in table[column]:
            row = rows[table[column].index("")]
            raise InputError(f"{path}: row {row}: the {column} is empty; each row needs one")
    labels = np.unique(np.array(table["label"], dtype=np.str_), return_inverse=True)[1]
    if "role" not in table.columns:
        refuse_repeats(path, ids, rows)
        relevance = LabelRelevance(labels, labels, leave_one_out=True)
        return GroundTruth("labelled", ids, ids, {"all": relevance})

    positions: dict[str, list[int]] = {"query": [], "gallery": []}
    for position, role in enumerate(table["role"]):
        if role.lower() not in positions:
            raise InputError(
                f"{path}: row {rows[position]}: role {role!r} is neither query nor gallery"
            )
        positions[role.lower()].append(position)
    ids_of: dict[str, list[str]] = {}
    for role, chosen in positions.items():
        if not chosen:
            raise InputError(f"{path}: no row has the role {role}; both roles need rows")
        ids_of[role] = [ids[position] for position in chosen]
        refuse_repeats(path, ids_of[role], [rows[position] for position in chosen])
    relevance = LabelRelevance(
        labels[positions["query"]], labels[positions["gallery"]], leave_one_out=False
    )
    return GroundTruth("labelled", ids_of["query"], ids_of["gallery"], {"all": relevance})
