"""Copy what a run rendered to where it is committed, and refresh the documents that quote it."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from sfsc.files import InputError, replacing

_RENDERED = [
    "README.md", "metrics.csv", "compatibility.csv", "cost.csv", "latency.csv", "provenance.json",
    "config.yaml", "tables", "figures",
]  # fmt: skip
_QUOTE = re.compile(r"(<!-- quote: (\S+) -->\n).*?(<!-- end quote -->)", re.DOTALL)


def publish(results: Path, target: Path) -> None:
    """Replace the folder `target` by the tables, figures, metrics and provenance of `results`."""
    missing = [name for name in _RENDERED if not (results / name).exists()]
    if missing:
        raise InputError(f"{results}: has no {', '.join(missing)}; run the workflow to its end")
    with replacing(target) as folder:
        folder.mkdir()
        for name in _RENDERED:
            source = results / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns(".*"))
            else:
                shutil.copy(source, folder / name)


def refresh_quotes(documents: Iterable[Path], root: Path) -> None:
    """Fill each `<!-- quote: FILE -->` ... `<!-- end quote -->` with FILE's text.

    FILE is relative to `root`. InputError names a document that quotes a file that is not there.
    """
    for document in documents:
        text = document.read_text()

        def quoted(match: re.Match[str], document: Path = document) -> str:
            source = root / match[2]
            if not source.exists():
                raise InputError(f"{document}: quotes {match[2]}, which does not exist")
            return f"{match[1]}\n{source.read_text().strip()}\n\n{match[3]}"

        fresh = _QUOTE.sub(quoted, text)
        if fresh != text:
            with replacing(document) as beside:
                beside.write_text(fresh)
