"""Bent answers and events of Asterisk: refused, incomplete, malformed, endless, compressed and nested ones."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from lab.faults.calls.rig.bending_proxy import Answer, Bend

LISTS = r"/(channels|bridges)$"
OPTIONAL = ("caller", "connected", "accountcode", "dialplan", "creationtime", "language", "protocol_id", "channelvars")
DEEP, DEEP_OBJECT = 100_000, 900
HUGE_DIGITS = 6_000
CHUNK = b"1," * 250_000
CHUNK_PAUSE_SECONDS = 0.01
SLOW_PAUSE_SECONDS = 0.5
BOMB_BYTES = 400 << 20
RAW, GZIP_HEADER = -15, b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
HUGE_EVENT = 1_100_000
FLOOD = 20_000


@dataclass(frozen=True, slots=True)
class Case:
    """A way to bend: answers by `bend`, further events, or a restart of the relay meanwhile.

    Without `serves`, no new caller can be served while the bend lasts, because Asterisk forbids it. With `floods`, the
    bend takes every port, and a caller may be refused for that reason.
    """

    title: str
    bend: Bend | None = None
    events: Callable[[], Iterator[str]] | None = None
    restarts: bool = False
    serves: bool = True
    floods: bool = False


def _instead(method: str, path: str, answer: Callable[[], Answer]) -> Bend:
    """Return a bend that replaces the answers to these requests; `path` is a regular expression."""

    def bend(verb: str, place: str, real: Answer) -> Answer:
        return answer() if re.fullmatch(method, verb) and re.match(path, place) else real

    return bend


def _refused(status: int, message: str) -> Callable[[], Answer]:
    return lambda: Answer(status, json.dumps({"message": message}).encode())


def _body(body: bytes) -> Callable[[], Answer]:
    return lambda: Answer(200, body)


def _streamed(status: int, first: bytes, chunk: bytes, pause_seconds: float) -> Callable[[], Answer]:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield chunk
            await asyncio.sleep(pause_seconds)

    return lambda: Answer(status, first, chunks=chunks())


def _each(change: Callable[[Any], Any]) -> Bend:
    """Return a bend that changes the document of every list."""

    def bend(verb: str, path: str, real: Answer) -> Answer:
        if verb != "GET" or not re.match(LISTS, path) or real.status != 200:
            return real
        return replace(real, body=json.dumps(change(json.loads(real.body))).encode())

    return bend


def _without_optional_fields(items: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if name not in OPTIONAL} for item in items]


@cache
def _bomb() -> bytes:
    """Return 400 MiB of JSON as gzip (RFC 1952). Blocks that end with a full flush can be repeated as they are."""
    press, times = zlib.compressobj(9, zlib.DEFLATED, RAW), BOMB_BYTES // len(CHUNK)
    first = press.compress(b"[") + press.flush(zlib.Z_FULL_FLUSH)
    block = press.compress(CHUNK) + press.flush(zlib.Z_FULL_FLUSH)
    last = press.compress(b"1]") + press.flush()
    checksum = zlib.crc32(b"[")
    for _ in range(times):
        checksum = zlib.crc32(CHUNK, checksum)
    trailer = struct.pack("<II", zlib.crc32(b"1]", checksum), times * len(CHUNK) + 3)
    return b"".join([GZIP_HEADER, first, *[block] * times, last, trailer])


def _compressed() -> Answer:
    return Answer(200, _bomb(), {"Content-Type": "application/json", "Content-Encoding": "gzip"})


def _again(event: str, times: int = 5) -> Callable[[], Iterator[str]]:
    return lambda: itertools.repeat(event, times)


def _ghosts() -> Iterator[str]:
    """Yield the arrivals of callers that do not exist."""
    for number in range(FLOOD):
        yield _start(f"ghost{number}")


def _start(channel: object, more: str = "") -> str:
    fields = f'"channel":{{"id":{json.dumps(channel)},"name":"PJSIP/ghost","state":"Ring"}}{more}'
    return f'{{"type":"StasisStart","application":"rtp-pool","args":[],{fields}}}'


CASES = (
    Case("500 to the list of channels", _instead("GET", "/channels$", _refused(500, "Internal Server Error"))),
    Case(
        "500 to the list of channels, relay killed",
        _instead("GET", "/channels$", _refused(500, "Internal Server Error")),
        restarts=True,
    ),
    Case("500 to both lists, relay killed", _instead("GET", LISTS, _refused(500, "?")), restarts=True),
    Case("500 to every GET of a channel", _instead("GET", r"/channels/[^/]+$", _refused(500, "?"))),
    Case("403 to both lists", _instead("GET", LISTS, _refused(403, "Forbidden"))),
    Case("403 to the application", _instead("GET", "/applications/", _refused(403, "Forbidden"))),
    Case("403 to every variable", _instead("GET", r"/channels/[^/]+/variable", _refused(403, "Forbidden"))),
    Case("403 to every write", _instead("POST|DELETE", "/", _refused(403, "Forbidden")), serves=False),
    Case("no optional field in a list", _each(_without_optional_fields)),
    Case("no optional field in a list, relay killed", _each(_without_optional_fields), restarts=True),
    Case("null in each list", _each(lambda items: [None, *items])),
    Case("a number as an id in each list", _each(lambda items: [{"id": 5, "name": []}, *items])),
    Case("a lone surrogate as an id", _each(lambda items: [{"id": "\ud800", "name": "x"}, *items])),
    Case("an object instead of a list", _instead("GET", LISTS, _body(b'{"a": 1}'))),
    Case("HTML instead of a list", _instead("GET", LISTS, _body(b"<html>"))),
    Case("a redirect instead of a list", _instead("GET", LISTS, lambda: Answer(302, headers={"Location": "/x"}))),
    Case("lists of deep arrays", _instead("GET", LISTS, _body(b"[" * DEEP))),
    Case(
        "lists of a deep object",
        _instead(
            "GET", LISTS, _body(b'[{"id":"x","caller":' + b'{"a":' * DEEP_OBJECT + b"1" + b"}" * DEEP_OBJECT + b"}]")
        ),
    ),
    Case("a huge integer in a list", _instead("GET", LISTS, _body(b"[" + b"9" * HUGE_DIGITS + b"]"))),
    Case("endless lists", _instead("GET", LISTS, _streamed(200, b"[", CHUNK, CHUNK_PAUSE_SECONDS))),
    Case("endless errors", _instead("GET", LISTS, _streamed(500, b"", CHUNK, CHUNK_PAUSE_SECONDS))),
    Case("a gzip bomb", _instead("GET", LISTS, _compressed)),
    Case("slow lists", _instead("GET", LISTS, _streamed(200, b"[", b" ", SLOW_PAUSE_SECONDS))),
    Case(
        "slow lists, relay killed",
        _instead("GET", LISTS, _streamed(200, b"[", b" ", SLOW_PAUSE_SECONDS)),
        restarts=True,
    ),
    Case("events with a huge integer", events=_again(_start("x", ',"x":' + "9" * HUGE_DIGITS))),
    Case("deep events", events=_again("[" * DEEP)),
    Case("events beyond the bound", events=_again('{"type":"' + "a" * HUGE_EVENT + '"}', 2)),
    Case("events of other types", events=_again('{"type":"StasisStart","application":["a"],"channel":{"id":1}}')),
    Case(
        "events with a lone surrogate",
        events=_again('{"type":"StasisStart","application":"rtp-pool","channel":{"id":"\\ud800","name":"x"}}'),
    ),
    Case("a flood of malformed events", events=_again('{"type":"StasisStart"}', FLOOD)),
    Case("a flood of callers that do not exist", events=_ghosts, floods=True),
)
