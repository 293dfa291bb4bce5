"""Copy what a run rendered to where it is committed, and refresh the documents that quote it."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from sfsc.files import InputError, replacing, replacing_folder

_RENDERED = [
    "README.md",
    "metrics.csv",
    "floor.csv",
    "compatibility.csv",
    "cost.csv",
    "latency.csv",
    "provenance.json",
    "config.yaml",
    "tables",
    "figures",
]
_OF_SOME = ["refresh.csv", "mixed.csv"]
"""What only some profiles have."""

_OURS = [
    *_RENDERED,
    *_OF_SOME,
    *(f"tables/*.{ending}" for ending in ("csv", "md", "tex")),
    *(f"figures/*.{ending}" for ending in ("png", "pdf")),
]
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_QUOTE = re.compile(r"(<!-- quote: (\S+) -->\n).*?(<!-- end quote -->)", re.DOTALL)


def publish(results: Path, published: Path, name: str) -> None:
    """Replace the folder `name` of `published` by the tables, figures, metrics and provenance of
    `results`.

    Raises InputError for a name that is none, and for a folder that holds something else.
    """
    if not re.fullmatch(_NAME, name):
        raise InputError(
            f"--name {name}: is no name of a folder; use letters, digits, '.', '_' and '-',"
            " a letter or a digit first"
        )
    missing = [name for name in _RENDERED if not (results / name).exists()]
    if missing:
        raise InputError(f"{results}: has no {', '.join(missing)}; run the workflow to its end")
    with replacing_folder(published / name, _OURS) as folder:
        for part in [*_RENDERED, *(part for part in _OF_SOME if (results / part).exists())]:
            source = results / part
            if source.is_dir():
                hidden = shutil.ignore_patterns(".*")
                shutil.copytree(source, folder / part, ignore=hidden, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(source, folder / part)


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
