"""Conversion of contracts from and to JSON with msgspec. Errors have place, received value and accepted values.

JSON names are the fields' names in camelCase. Decoding ignores unknown fields and uses defaults for missing ones.
"""

from __future__ import annotations

import re
import reprlib
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")
_PLACE = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_OF_MSGSPEC = re.compile(r"Expected `|Invalid enum value|(Number|Integer value) out of range")
_TYPE_NAMES = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null", dict: "object", list: "array"}
_ACCEPTED: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.StructType: "an object",
    inspect.DictType: "an object",
    inspect.VarTupleType: "a list",
    inspect.TupleType: "a list",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class Contract(msgspec.Struct, frozen=True, rename="camel"):
    """A JSON object. Subclasses repeat `frozen=True`, which type checkers do not inherit."""


class ContractError(ValueError):
    """A violation of a contract. The message names place, received value and accepted values.

    `place` is the place only (`pools[0].echo.port`), empty for the whole document.
    """

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


def to_json(value: Any) -> Any:
    """Return the JSON value (dicts, lists, scalars) of contracts, without the fields that are None."""
    return _without_none(msgspec.to_builtins(value))


def from_json(kind: type[T], document: Any, place: str = "") -> T:
    """Read a contract from a JSON value at `place` of a larger document.

    Raises:
        ContractError: a required field is missing, a value has another type, or the contract rejects it.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise _located(str(error), kind, document, place) from error


def decode(kind: type[T], text: bytes | str) -> T:
    """Read a contract from JSON text.

    Raises:
        ContractError: as `from_json`, or the text is not JSON.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ContractError(str(error)) from error
        raise _located(str(error), kind, document, "") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ContractError(f"not JSON: {error}") from error


def decode_any(text: bytes | str) -> Any:
    """Read any JSON.

    Raises:
        ContractError: the text is not JSON, is nested too deeply, or holds a number beyond a float's range.
    """
    return decode(object, text)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(held) for name, held in value.items() if held is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def _located(message: str, kind: Any, document: Any, place: str) -> ContractError:
    """Turn msgspec's message (`Expected `int`, got `str` - at `$.echo.port``) into a ContractError."""
    text, _, path = message.partition(" - at `$")
    value, accepted = document, inspect.type_info(kind)
    for name, index in _PLACE.findall(path.rstrip("`")):
        if index == "...":
            got = text.rpartition("got `")[2].rstrip("`")
            name = next(key for key, held in value.items() if _TYPE_NAMES.get(type(held)) == got)  # noqa: PLW2901
        value = value[int(index) if index.isdigit() else name]
        accepted = _inner(accepted, name, index)
        place += f"[{index}]" if index.isdigit() else f".{name}" if place else name
    if missing := _MISSING.fullmatch(text):
        place += f".{missing[1]}" if place else missing[1]
        return ContractError(f"{place} is missing", place)
    where = place or "document"
    if not _OF_MSGSPEC.match(text):
        return ContractError(f"{where}: {text}", place)
    accepted = _without_null(accepted)
    if isinstance(accepted, inspect.TupleType) and isinstance(value, list):
        return ContractError(f"{where}: {len(value)} items; accepted are {len(accepted.item_types)}", place)
    if isinstance(accepted, inspect.LiteralType):
        return ContractError(
            f"{where}: {_SHORT.repr(value)}; accepted is one of {', '.join(map(str, accepted.values))}", place
        )
    return ContractError(f"{where}: {_SHORT.repr(value)}; accepted is {_accepted(accepted, text)}", place)


def _accepted(accepted: inspect.Type, text: str) -> str:
    described = _ACCEPTED.get(type(accepted), text)
    if isinstance(accepted, inspect.StrType) and accepted.max_length is not None:
        return f"{described} of at most {accepted.max_length} characters"
    if isinstance(accepted, inspect.IntType | inspect.FloatType) and accepted.ge is not None:
        most = accepted.le if accepted.lt is None else accepted.lt - 1
        return f"{described} from {accepted.ge}" if most is None else f"{described} from {accepted.ge} to {most}"
    return described


def _without_null(of: inspect.Type) -> inspect.Type:
    """Return the other type of a union with None."""
    if isinstance(of, inspect.UnionType):
        return next(each for each in of.types if not isinstance(each, inspect.NoneType))
    return of


def _inner(of: inspect.Type, name: str, index: str) -> inspect.Type:
    of = _without_null(of)
    if isinstance(of, inspect.StructType):
        return next(field.type for field in of.fields if field.encode_name == name)
    if isinstance(of, inspect.TupleType):
        return of.item_types[int(index)]
    return of.value_type if isinstance(of, inspect.DictType) else of.item_type  # type: ignore[attr-defined]
