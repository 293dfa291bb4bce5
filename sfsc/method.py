"""What a method is: one file, which its name finds in `baselines/` or `sfsc/methods/`."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tabulate import tabulate

from sfsc.files import InputError, read_text
from sfsc.options import NoOptions, described

if TYPE_CHECKING:  # torch takes seconds to import, and most of what needs a method's text does not
    from sfsc.training.family import Family

Families = Literal["any", "switchable", "dimensions"]
"""All, those whose members are widths of one network, or those that differ in `embedding_dim`."""

_LIBRARY = Path(__file__).resolve().parent
FOLDERS = (_LIBRARY / "methods", _LIBRARY.parent / "baselines")
"""Where methods are: SFSC and its ablations, and all others."""


class Varies(NamedTuple):
    """Of which method another one is an ablation or a control, and in what they differ."""

    of: str
    by: str


@dataclass(frozen=True)
class Method:
    """A way to get a family of models: METHOD of <name>.py."""

    train: Callable[["Family", Any], None] | None
    """Trains and saves every member of a family, with the options of this method. None where the
    rule in baselines/<name>.smk makes what is evaluated."""
    summary: str
    """One line, for readers of tables."""
    paper: str = ""
    options: type = NoOptions
    """A frozen dataclass; a profile sets its fields next to the method's name."""
    varies: tuple[str, str] | None = None
    """See Varies: ("sfsc", "gradients summed as they are")."""
    families: Families = "any"
    """Which families it trains."""


@dataclass(frozen=True)
class Description:
    """What a method's file says of it, in words."""

    name: str
    summary: str
    paper: str = ""
    varies: Varies | None = None
    families: str = "any"


def names() -> list[str]:
    """All methods, in the order of their names."""
    return sorted(path.stem for folder in FOLDERS for path in folder.glob("[!_]*.py"))


def is_there(name: str) -> bool:
    """Whether there is a method of that name."""
    return any((folder / f"{name}.py").is_file() for folder in FOLDERS)


def path(name: str) -> Path:
    """The file of a method; InputError where there is none."""
    for folder in FOLDERS:
        if (found := folder / f"{name}.py").is_file():
            return found
    raise InputError(f"method {name!r}: there is no file baselines/{name}.py")


@cache
def find(name: str) -> Method:
    """The METHOD of <name>.py; InputError where there is none."""
    spec = importlib.util.spec_from_file_location(f"baselines.{name}", path(name))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where `inspect` looks for the sources of its classes
    spec.loader.exec_module(module)
    method = getattr(module, "METHOD", None)
    if not isinstance(method, Method):
        raise InputError(f"{name}.py: has no METHOD = Method(...)")
    return method


@cache
def describe(name: str) -> Description:
    """What a method's file says, read without running it: no torch, and no code of the method."""
    try:
        tree = ast.parse(read_text(path(name)))
    except SyntaxError as error:
        raise InputError(f"{name}.py: line {error.lineno}: {error.msg}") from None
    texts: dict[str, Any] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="METHOD")], value=ast.Call(keywords=given)):
                for keyword in given:
                    if keyword.arg in ("summary", "paper", "varies", "families"):
                        texts[keyword.arg] = _literal(keyword.value, f"{name}.py: {keyword.arg}")
    if "summary" not in texts:
        raise InputError(f"{name}.py: has no METHOD = Method(...) with a summary")
    varies = texts.pop("varies", None)
    return Description(name, varies=Varies(*varies) if varies else None, **texts)


def _literal(node: ast.expr, place: str) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise InputError(f"{place} is to be plain text, not computed") from None


def as_table() -> str:
    """All methods as a Markdown table: name, summary, paper, and what each varies."""
    rows = [
        (
            f"`{each.name}`",
            each.summary,
            each.paper or "–",
            f"`{each.varies.of}`: {each.varies.by}" if each.varies else "–",
        )
        for each in map(describe, names())
    ]
    return tabulate(rows, ["name", "what it is", "paper", "varies"], "pipe", disable_numparse=True)


def in_words(name: str) -> str:
    """A method's summary and paper, and a line for each of its options, with its default."""
    told = describe(name)
    lines = [f"{name}: {told.summary}"]
    if told.paper:
        lines.append(f"  paper: {told.paper}")
    if told.varies:
        lines.append(f"  varies {told.varies.of}: {told.varies.by}")
    if told.families != "any":
        lines.append(f"  families: {told.families}")
    for option in described(find(name).options):
        lines.append(
            f"  {option.name}: {option.values}, by default {option.default}. {option.text}"
        )
    return "\n".join(lines)
