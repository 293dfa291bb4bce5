"""The JSON schema of a dataclass: its keys, their types and bounds, and the texts below them."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from sfsc.options import texts

Schema = dict[str, Any]

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Rule:
    """Keywords of JSON Schema that a type carries: Annotated[int, Rule(minimum=1)]."""

    def __init__(self, **keywords: Any):
        self.keywords = keywords


@dataclass(frozen=True)
class Keys:
    """Marks a mapping that holds keys of a section; what it leaves out may be set elsewhere."""

    of: type
    all_required: bool = False
    """Whether it leaves out only what has a default."""


def only(kinds: tuple[str, ...], required: bool = False, default: Any = None) -> Any:
    """A key that belongs to sections of these kinds alone: of some values of their key `kind`."""
    return field(default=default, metadata={"kinds": kinds, "required": required})


def schema_of(of: type) -> Schema:
    """The schema of a section. `| None` says that a key may be left out, not be empty."""
    defs: dict[str, Schema] = {}
    required = _section(of, defs)["required"]
    return {"type": "object", "required": required, **defs.pop(of.__name__), "$defs": defs}


def keywords(of: type, key: str) -> Schema:
    """The schema of one key."""
    return _schema(get_type_hints(of, include_extras=True)[key], {})


def _schema(kind: Any, defs: dict[str, Schema]) -> Schema:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        found = _schema(args[0], defs)
        for extra in args[1:]:
            if isinstance(extra, Rule):
                found = found | extra.keywords
            elif isinstance(extra, Keys):
                found = (_section if extra.all_required else _keys)(extra.of, defs)
        return found
    if origin in (Union, types.UnionType):
        parts = [_schema(arg, defs) for arg in args if arg is not types.NoneType]
        if len(parts) == 1:
            return parts[0]
        merged = {key: value for part in parts for key, value in part.items()}
        return merged | {"type": [part["type"] for part in parts]}
    if origin is Literal:
        whole = all(type(arg) is int for arg in args)
        return ({"type": "integer"} if whole else {}) | {"enum": list(args)}
    if origin is tuple:
        found = {"type": "array", "items": _schema(args[0], defs)}
        return found if args[-1] is ... else found | {"minItems": len(args), "maxItems": len(args)}
    if origin is Mapping:
        names = {} if args[0] is str else {"propertyNames": _schema(args[0], defs)}
        return {"type": "object", **names, "additionalProperties": _schema(args[1], defs)}
    if is_dataclass(kind):
        return _section(kind, defs)
    return {} if kind is Any else {"type": _TYPES[kind]}


def _section(of: Any, defs: dict[str, Schema]) -> Schema:
    required = [
        each.name
        for each in fields(of)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    return _keys(of, defs) | ({"required": required} if required else {})


def _keys(of: Any, defs: dict[str, Schema]) -> Schema:
    if of.__name__ not in defs:
        defs[of.__name__] = {}  # its place, before those that it refers to
        told, kinds = texts(of), get_type_hints(of, include_extras=True)
        properties = {name: _schema(kind, defs) for name, kind in kinds.items()}
        for each in fields(of):
            if isinstance(each.default, str | int | float | tuple):
                properties[each.name]["default"] = each.default
            if each.name in told:
                properties[each.name]["description"] = told[each.name]
        rules = _by_kind(of, kinds)
        defs[of.__name__] |= {"additionalProperties": False, "properties": properties}
        defs[of.__name__] |= {"allOf": rules} if rules else {}
    return {"type": "object", "$ref": f"#/$defs/{of.__name__}"}


def _by_kind(of: Any, hints: Mapping[str, Any]) -> list[Schema]:
    """Which keys some kinds need, and which they refuse."""
    refused: dict[str, list[str]] = {}
    needed: dict[str, list[str]] = {}
    for kind in get_args(hints.get("kind")):
        for each in fields(of):
            if kind not in each.metadata.get("kinds", (kind,)):
                refused.setdefault(kind, []).append(each.name)
            elif each.metadata.get("required"):
                needed.setdefault(kind, []).append(each.name)
    return [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {
                "required": needed.get(kind, []),
                "properties": {name: {"not": {}} for name in refused.get(kind, [])},
            },
        }
        for kind in dict.fromkeys([*refused, *needed])
    ]
