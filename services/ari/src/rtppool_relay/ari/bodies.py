"""Bodies of Asterisk's answers, read and parsed within bounds.

A faulty server, or a proxy in front of Asterisk, may send an endless, compressed or deeply nested body. No body may
take more than some MB of memory, or hold the event loop: live calls depend on it.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp

from rtppool_relay.ari.errors import AriFormatError
from rtppool_relay.caller_numbers import without_digits

# The channels of 4,096 calls have some 4 MB. The bounds hold for the decompressed bytes and for those on the wire.
MAX_LIST_BYTES = 8 << 20
MAX_OBJECT_BYTES = 1 << 20
MAX_ERROR_BYTES = 4096
ERROR_BODY_SECONDS = 1.0
MAX_ELEMENT_CHARS = 1 << 16
# An application is one element with the ids of all its channels.
MAX_APPLICATION_CHARS = 1 << 20
MAX_FAULTS = 100
MAX_SHOWN = 40
# Some 0.1 s of CPU time for each faulty element. A channel has about 120 tokens.
MAX_SKIPPED_TOKENS = 100_000
# Between two turns of the event loop.
MAX_ELEMENTS_A_TURN = 64
MAX_TOKENS_A_TURN = 4096

# An ordinary element fits into this window, which is cheaper to copy than the largest element.
_WINDOW_CHARS = 4096
_ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib's for "gzip or deflate by its header"
# Python refuses to convert more than 4,300 digits. No field that the relay uses is longer than this.
_MAX_DIGITS = 18
_SPACE = re.compile(r"[ \t\n\r]*+")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The elements of a list that could be parsed, and a sentence for each one that was left out."""

    items: tuple[T, ...]
    faults: tuple[str, ...] = ()


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Return the decompressed body of an answer that was requested without `auto_decompress`.

    Raises:
        AriFormatError: it is longer than `max_bytes`, or not compressed as its header says.
    """
    unpack = _decompressor(response)
    body, received = bytearray(), 0
    async for chunk in response.content.iter_any():
        received += len(chunk)
        body += unpack(chunk, max_bytes + 1 - len(body))
        if len(body) > max_bytes or received > max_bytes:
            raise AriFormatError(f"the answer is longer than {max_bytes} bytes; is this Asterisk's ARI?")
    return bytes(body)


async def read_error_text(response: aiohttp.ClientResponse) -> str:
    """Return the beginning of an error's body without numbers, as far as it arrives soon.

    The status alone is an answer, too.
    """
    text = bytearray()
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            async for chunk in response.content.iter_any():
                text += chunk[: MAX_ERROR_BYTES - len(text)]
                if len(text) >= MAX_ERROR_BYTES:
                    break
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    return without_digits(text.decode("utf-8", "replace"))


def parse_json(text: str) -> Any:
    """Parse a JSON text. Return None for an empty one.

    Raises:
        AriFormatError: it is no JSON, or nested too deeply.
    """
    if not text.strip():
        return None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise AriFormatError(f"no JSON ({_reason(error)})") from error


async def parse_list(body: bytes, parse: Callable[[Any], T], max_element_chars: int = MAX_ELEMENT_CHARS) -> Listing[T]:
    """Parse a JSON list element by element, with turns for the event loop in between.

    Raises:
        AriFormatError: it is no list, or has too many elements that are not accepted.
    """
    # One strange byte must not cost the other elements.
    text = body.decode("utf-8", "replace")
    at = _skip_space(text, 0)
    if text[at : at + 1] != "[":
        raise AriFormatError(f"the answer is no JSON list, but begins with {_begin(text, at)}")
    items: list[T] = []
    faults: list[str] = []
    at = _skip_space(text, at + 1)
    more = text[at : at + 1] != "]"
    while more:
        number = len(items) + len(faults)
        try:
            document, end = _parse_element(text, at, max_element_chars)
            items.append(parse(document))
        except (ValueError, RecursionError, AriFormatError) as error:
            faults.append(f"element {number} is left out: {_reason(error)}")
            end = await _find_end(text, at)
        if len(faults) > MAX_FAULTS:
            raise AriFormatError(f"more than {MAX_FAULTS} elements are not accepted; {faults[0]}")
        more = text[end] == ","
        at = _skip_space(text, end + 1)
        if number % MAX_ELEMENTS_A_TURN == 0:
            await asyncio.sleep(0)
    return Listing(tuple(items), tuple(faults))


def _parse_element(text: str, at: int, max_chars: int) -> tuple[Any, int]:
    """Return the element at this position, and the position of the comma or bracket behind it."""
    for window in (_WINDOW_CHARS, max_chars):
        part = text[at : at + window]
        try:
            document, length = _DECODER.raw_decode(part)
        except json.JSONDecodeError:
            if len(part) < window or window == max_chars:
                raise
        else:
            end = _skip_space(text, at + length)
            if text[end : end + 1] not in {",", "]"}:
                raise ValueError(f"behind it comes {_begin(text, end)}")
            return document, end
    raise AssertionError("the last window returns or raises")


async def _find_end(text: str, at: int) -> int:
    """Return the position of the comma or bracket that ends the element around `at`.

    Raises:
        AriFormatError: the text ends before, or the element has too many tokens.
    """
    depth = 0
    for number, token in enumerate(_TOKEN.finditer(text, at), 1):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "," | "]" if depth == 0:
                return token.start()
            case "]" | "}":
                depth = max(0, depth - 1)
        if number >= MAX_SKIPPED_TOKENS:
            raise AriFormatError(f"an element that is not accepted has more than {MAX_SKIPPED_TOKENS} tokens")
        if number % MAX_TOKENS_A_TURN == 0:
            await asyncio.sleep(0)
    raise AriFormatError("the list has no end")


def _begin(text: str, at: int) -> str:
    return repr(without_digits(text[at : at + MAX_SHOWN]))


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _number(text: str) -> int | float:
    return int(text) if len(text) <= _MAX_DIGITS else float(text)


_DECODER = json.JSONDecoder(parse_int=_number)


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _decompressor(response: aiohttp.ClientResponse) -> Callable[[bytes, int], bytes]:
    """Return a function of compressed bytes and the maximum length of its result.

    The relay asks for no compression. A proxy may compress all the same.
    """
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding in {"", "identity"}:
        return lambda chunk, _max_length: chunk
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise AriFormatError(f"the answer is compressed by {coding[:40]!r}; accepted are gzip and deflate")
    stream = zlib.decompressobj(_ANY_HEADER)

    def unpack(chunk: bytes, max_length: int) -> bytes:
        try:
            return stream.decompress(chunk, max_length)
        except zlib.error as error:
            raise AriFormatError(f"the answer is not compressed by {coding}, as its header says: {error}") from error

    return unpack
