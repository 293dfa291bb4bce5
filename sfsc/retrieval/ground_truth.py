"""Ground truth for any embeddings, from a file in one of three formats."""

from pathlib import Path

from sfsc.data import gldv2, labels, revisited
from sfsc.data.sets import GroundTruth
from sfsc.files import InputError


def read(path: Path, query_ids: Path | None, gallery_ids: Path | None) -> GroundTruth:
    """The ground truth of a Revisited gnd_*.pkl, a GLDv2 solution CSV or a labels CSV.

    A CSV with a column `Usage` is a GLDv2 solution; it needs the rows' ids, one a line.
    """
    if path.suffix == ".pkl":
        return revisited.ground_truth(path)
    if "Usage" not in _lines(path)[0].split(","):
        return labels.ground_truth(path)
    if query_ids is None or gallery_ids is None:
        raise InputError(
            f"{path}: a GLDv2 solution needs --query-ids and --gallery-ids, files with the id of "
            "each row"
        )
    return gldv2.ground_truth(path, _lines(query_ids), _lines(gallery_ids))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from None
    if not lines:
        raise InputError(f"{path}: is empty")
    return lines
