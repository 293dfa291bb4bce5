"""Ground truth for any embeddings, from a file in one of three formats."""

from pathlib import Path

from sfsc.data import gldv2, labels, revisited
from sfsc.data.sets import GroundTruth, require_scored
from sfsc.files import InputError, read_text


def read(path: Path, query_ids: Path | None, gallery_ids: Path | None) -> GroundTruth:
    """The ground truth of a Revisited gnd_*.pkl, a GLDv2 solution CSV or a labels CSV.

    What the file holds decides, not its name. A CSV with a column `Usage` is a GLDv2 solution; it
    needs the rows' ids, one a line. Raises InputError for another file, and where no query has a
    positive.
    """
    truth = _read(path, query_ids, gallery_ids)
    require_scored(truth, path)
    return truth


def _read(path: Path, query_ids: Path | None, gallery_ids: Path | None) -> GroundTruth:
    if revisited.is_pickle(path):
        return revisited.ground_truth(path)
    columns = labels.read_csv(path, ["id"]).columns
    if "usage" not in columns:
        return labels.ground_truth(path)
    if query_ids is None or gallery_ids is None:
        raise InputError(
            f"{path}: a GLDv2 solution needs --query-ids and --gallery-ids, files with the id of "
            "each row"
        )
    return gldv2.ground_truth(path, _ids(query_ids), _ids(gallery_ids))


def _ids(path: Path) -> list[str]:
    """An id a line, quoted or not; a header `id`, as test.csv has it, and blank lines are none."""
    lines = [line.strip().strip('"') for line in read_text(path).splitlines()]
    ids = [line for line in lines if line]
    if ids[:1] == ["id"]:
        ids = ids[1:]
    if not ids:
        raise InputError(f"{path}: is empty; it needs one id per line")
    return ids
