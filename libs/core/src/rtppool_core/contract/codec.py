"""Dataclasses to and from JSON, and their JSON Schema.

JSON names are the fields' names in camelCase. Reading ignores unknown fields, takes defaults for missing ones, and
names the place of what is wrong (`pools[0].echo.port`). Types understood: bool, int, float, str, dataclasses,
`tuple[X, ...]`, `dict[str, X]`, `Literal`, and each of them or None.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_PAIR = tuple[int, int]


class ContractError(ValueError):
    """A document that does not follow its contract; the message names the place and what is accepted.

    `place` is the place by itself (`pools[0].echo.port`), empty where it is the document as a whole.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


def camel(name: str) -> str:
    """`start_ns` as `startNs`."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def to_json(value: Any) -> Any:
    """The JSON value (dicts, lists, scalars) of a dataclass; fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {camel(name): to_json(held) for name, held in pairs if held is not None}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def from_json(kind: type[T], document: Any, place: str = "") -> T:
    """Read a dataclass of type `kind` from a JSON value.

    Raises:
        ContractError: a required field is missing or a value has another type; also what the dataclass itself refuses.
    """
    return typing.cast("T", _read(kind, document, place))


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        if value is None and len(options) < len(get_args(kind)):
            return None
        return _read(options[0], value, place)
    if origin is Literal:
        if value not in get_args(kind):
            raise ContractError(
                f"{place or 'document'}: {_shown(value)}; accepted is one of {', '.join(map(str, get_args(kind)))}",
                place,
            )
        return value
    if origin is tuple:
        return _read_tuple(kind, value, place)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ContractError(f"{place or 'document'}: {_shown(value)}; accepted is an object", place)
        return {str(key): _read(get_args(kind)[1], item, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, value, place)
    return _read_scalar(kind, value, place)


def _read_tuple(kind: Any, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ContractError(f"{place or 'document'}: {_shown(value)}; accepted is a list", place)
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        if kinds[0] == _PAIR and _are_pairs(value):
            return tuple(map(tuple, value))
        return tuple(_read(kinds[0], item, f"{place}[{at}]") for at, item in enumerate(value))
    if len(kinds) != len(value):
        raise ContractError(f"{place or 'document'}: {len(value)} items; accepted are {len(kinds)}", place)
    return tuple(_read(of, item, f"{place}[{at}]") for at, (of, item) in enumerate(zip(kinds, value, strict=True)))


def _are_pairs(items: list[Any]) -> bool:
    """Whether all are lists of two whole numbers, as the hundreds of buckets of a histogram are.

    One by one they would be nine tenths of the time that a report takes; what is not alike goes that way all the same,
    for the sake of its message.
    """
    return (
        {*map(type, items)} <= {list}
        and {*map(len, items)} <= {2}
        and {*map(type, itertools.chain.from_iterable(items))} <= {int}
    )


def _read_dataclass(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ContractError(f"{place or 'document'}: {_shown(value)}; accepted is an object", place)
    hints = _hints(kind)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = camel(field.name)
        if name in value:
            arguments[field.name] = _read(hints[field.name], value[name], f"{place}.{name}" if place else name)
        elif _required(field):
            if type(None) in get_args(hints[field.name]):
                arguments[field.name] = None
                continue
            missing = f"{place}.{name}" if place else name
            raise ContractError(f"{missing} is missing", missing)
    try:
        return kind(**arguments)
    except ContractError:
        raise
    except ValueError as error:
        raise ContractError(f"{place or 'document'}: {error}", place) from error


def _read_scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ContractError(f"{place or 'document'}: {_shown(value)}; accepted is {_SCALARS[kind][1]}", place)
    if kind is float and not math.isfinite(value):
        raise ContractError(f"{place or 'document'}: {_shown(value)}; accepted is a finite number", place)
    return value


_SCALARS = {
    bool: ("boolean", "true or false"),
    int: ("integer", "a whole number"),
    float: ("number", "a number"),
    str: ("string", "text"),
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def json_schema(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a dataclass, unknown fields allowed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.__name__,
        **_schema(kind),
    }


def _schema(kind: Any) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _schema(next(option for option in get_args(kind) if option is not type(None)))
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin is tuple:
        kinds = get_args(kind)
        if kinds[-1] is Ellipsis:
            return {"type": "array", "items": _schema(kinds[0])}
        return {
            "type": "array",
            "prefixItems": [_schema(of) for of in kinds],
            "minItems": len(kinds),
            "maxItems": len(kinds),
        }
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(get_args(kind)[1])}
    if dataclasses.is_dataclass(kind):
        hints = _hints(typing.cast("type", kind))
        fields = dataclasses.fields(kind)
        required = [camel(f.name) for f in fields if _required(f) and type(None) not in get_args(hints[f.name])]
        return {
            "type": "object",
            "properties": {camel(f.name): _schema(hints[f.name]) for f in fields},
            **({"required": required} if required else {}),
        }
    return {} if kind is Any else {"type": _SCALARS[kind][0]}
