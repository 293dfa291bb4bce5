"""Sections of a profile as dataclasses: what a section may hold is written once, in the class."""

import ast
import difflib
import inspect
import itertools
import math
import sys
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from sfsc.files import InputError

Section = TypeVar("Section")


@dataclass(frozen=True)
class NoOptions:
    """Of a method without options."""


def from_section(of: type[Section], values: Mapping[str, Any], place: str) -> Section:
    """The dataclass `of` with the given values; numbers that YAML left as text become numbers.

    Raises InputError, naming `place` and the key, for a key or a value that does not belong there.
    """
    kinds = hints(of)
    for key in values:
        if key not in kinds:
            raise InputError(f"{place}.{key}: unknown key; {advice(key, kinds)}")
    for each in fields(of):  # type: ignore[arg-type]
        optional = each.default is not MISSING or each.default_factory is not MISSING
        if not optional and each.name not in values:
            raise InputError(
                f"{place}.{each.name}: is missing; it needs {_words(kinds[each.name])}"
            )
    return of(**{key: checked(of, key, value, place) for key, value in values.items()})


def part(of: type[Section], section: Mapping[str, Any], place: str = "") -> Section:
    """The dataclass `of` from those keys of a larger section that it has."""
    return from_section(of, {key: section[key] for key in hints(of) if key in section}, place)


def at_least(minimum: float, default: float) -> Any:
    """A field with a smallest value."""
    return field(default=default, metadata={"minimum": minimum})


def checked(of: type, key: str, value: Any, place: str) -> Any:
    """The value of a key of the dataclass `of`; InputError where it does not belong there."""
    found = _value(hints(of)[key], value, f"{place}.{key}")
    minimum = next(each.metadata for each in fields(of) if each.name == key).get("minimum")
    if minimum is not None and found < minimum:
        raise InputError(f"{place}.{key}: {value} is less than {minimum}")
    return found


def hints(of: type) -> dict[str, Any]:
    """The types of a section's keys."""
    return get_type_hints(of)


def advice(key: object, known: Iterable[str]) -> str:
    """What to write instead of an unknown key."""
    known = list(known)
    near = difflib.get_close_matches(str(key), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(known)}" if known else "it has no options"


class Described(NamedTuple):
    """A key of a section, in words."""

    name: str
    values: str
    default: Any
    text: str


def texts(of: type) -> dict[str, str]:
    """The texts below the keys of the dataclass `of` in its source."""
    found: dict[str, str] = {}
    for base in of.__mro__[:-1]:
        for key, after in itertools.pairwise(_classes(base.__module__)[base.__name__].body):
            match key, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found.setdefault(name, " ".join(text.split()))
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def described(of: type) -> list[Described]:
    """The keys of the dataclass `of`, in words."""
    kinds, told = hints(of), texts(of)
    return [
        Described(each.name, _words(kinds[each.name]), each.default, told.get(each.name, ""))
        for each in fields(of)
    ]


def _value(kind: Any, value: Any, place: str) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        *others, last = (arg for arg in args if arg is not type(None))
        for arg in others:
            with suppress(InputError):
                return _value(arg, value, place)
        return _value(last, value, place)
    if kind is Any:
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        if isinstance(value, Mapping):
            return from_section(kind, value, place)
    elif origin is Literal:
        if value in args:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_value(args[0], each, place) for each in value)
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {key: _value(args[1], each, f"{place}.{key}") for key, each in value.items()}
    elif kind is str:
        if isinstance(value, str):
            return value
    elif kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
    elif kind in (int, float) and not isinstance(value, bool):
        with suppress(ValueError, TypeError):
            number = float(value)
            if kind is float and math.isfinite(number):
                return number
            if kind is int and number.is_integer():
                return int(number)
    raise InputError(f"{place}: {value!r} is not {_words(kind)}")


def _words(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("nothing" if arg is type(None) else _words(arg) for arg in args)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if origin is tuple:
        return "a list of values, each " + _words(args[0])
    if origin is Mapping or is_dataclass(kind):
        return "a section of keys and values"
    return {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}[
        kind
    ]
