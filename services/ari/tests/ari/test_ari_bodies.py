"""Bodies of Asterisk's answers: lists element by element, and odd elements."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from rtppool_relay.ari.bodies import (
    MAX_APPLICATION_CHARS,
    MAX_ELEMENT_CHARS,
    MAX_ELEMENTS_A_TURN,
    MAX_FAULTS,
    MAX_LIST_BYTES,
    MAX_SKIPPED_TOKENS,
    MAX_TOKENS_A_TURN,
    Listing,
    parse_json,
    parse_list,
)
from rtppool_relay.ari.errors import AriFormatError
from rtppool_relay.ari.messages import Channel, parse_channel

GOOD = '{"id": "%s", "name": "PJSIP/x"}'
DEEP = "[" * 5000 + "]" * 5000


def channel(name: str) -> str:
    return GOOD % name


async def parse(text: str | bytes) -> Listing[Channel]:
    return await parse_list(text if isinstance(text, bytes) else text.encode(), parse_channel)


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]"])
async def test_an_empty_list_has_no_elements(text: str) -> None:
    assert await parse(text) == Listing(())


@pytest.mark.parametrize(
    "odd",
    [
        "null",
        "1",
        "9" * 6000,
        '{"id": %s}' % ("9" * 6000),
        "{}",
        '{"id": 5, "name": []}',
        '{"id": "\\ud800", "name": "x"}',
        '{"id": "%s"}' % ("a" * 1000),
        DEEP,
        f'{{"id": "x", "caller": {DEEP}}}',
        '{"id": "x", "name": "%s"}' % ("n" * MAX_ELEMENT_CHARS),
        '{"id": "x" "name"}',
        '{"id": "x, ]"]}',
        "NaN",
        '"text, with ] and \\" in it"',
        '{"id": "x"} {"id": "y"}',
    ],
)
async def test_an_element_that_cannot_be_parsed_is_left_out_with_a_sentence_and_the_others_are_used(odd: str) -> None:
    listing = await parse(f"[{channel('first')}, {odd} ,{channel('last')}]")
    assert [each.id for each in listing.items] == ["first", "last"]
    assert len(listing.faults) == 1
    assert listing.faults[0].startswith("element 1 is left out: ")
    assert len(listing.faults[0]) < 400


async def test_a_byte_that_is_no_utf8_costs_no_channel() -> None:
    listing = await parse(b'[{"id": "a", "name": "\xff\xfe"}, {"id": "b", "name": "\\ud800"}]')
    assert [each.id for each in listing.items] == ["a", "b"]
    for each in listing.items:
        each.name.encode()


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "<html>", "[", "[1,", '[{"id": "a"}', '[{"id": "a"},', "[" * 100_000]
)
async def test_a_text_that_is_no_whole_list_is_refused(text: str) -> None:
    with pytest.raises(AriFormatError):
        await parse(text)


async def test_more_faults_than_the_bound_refuse_the_list() -> None:
    odd = ",".join(["1"] * (MAX_FAULTS + 1))
    with pytest.raises(AriFormatError, match=f"more than {MAX_FAULTS} elements"):
        await parse(f"[{odd}]")
    assert len((await parse(f"[{odd[2:]}]")).faults) == MAX_FAULTS


@pytest.mark.parametrize("text", [DEEP, "[1,]", "[" * 100_000])
def test_a_document_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(AriFormatError, match="no JSON"):
        parse_json(text)


def test_an_empty_text_is_no_document_and_a_huge_integer_is_a_number() -> None:
    assert parse_json(" \n") is None
    assert parse_json("9" * 6000) == float("inf")


@pytest.mark.parametrize("unit", ["1,", "{},", "[],", "[", '{"a":', '"', '"\\"', "[{},{}],", '[["],"],'])
async def test_the_largest_body_takes_little_memory(unit: str) -> None:
    body = b"[" + unit.encode() * (MAX_LIST_BYTES // len(unit)) + b"1]"
    tracemalloc.start()
    try:
        with pytest.raises(AriFormatError):
            await parse_list(body, parse_channel)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 * MAX_LIST_BYTES


class Turns:
    """Counts the turns that an event loop gives to others."""

    def __init__(self) -> None:
        self.number = 0
        self._task = asyncio.create_task(self._count())

    async def _count(self) -> None:
        while True:
            self.number += 1
            await asyncio.sleep(0)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def test_a_long_list_is_parsed_in_slices_with_turns_of_the_event_loop_in_between() -> None:
    turns, elements = Turns(), 10_000
    body = f"[{','.join(['{}'] * elements)}]".encode()
    parsed = await parse_list(body, lambda _document: turns.number)
    await turns.stop()
    assert len(parsed.items) == elements
    assert max(Counter(parsed.items).values()) <= MAX_ELEMENTS_A_TURN


async def test_an_element_of_many_parts_is_skipped_in_slices_with_turns_of_the_event_loop_in_between() -> None:
    turns = Turns()
    with pytest.raises(AriFormatError, match="tokens"):
        await parse("[" * (MAX_SKIPPED_TOKENS + 10))
    await turns.stop()
    assert turns.number >= MAX_SKIPPED_TOKENS // MAX_TOKENS_A_TURN


@pytest.mark.parametrize("max_chars", [MAX_ELEMENT_CHARS, MAX_APPLICATION_CHARS])
async def test_an_element_at_its_bound_is_parsed_and_a_longer_one_is_left_out(max_chars: int) -> None:
    def texts(document: Any) -> int:
        return len(document["texts"])

    shortest = '{"texts":[%s"x"]}'
    identifier = f'"{"x" * 29}",'
    fitting = shortest % (identifier * ((max_chars - len(shortest) + 2) // len(identifier)))
    fitting = fitting.replace(":[", ":" + " " * (max_chars - len(fitting)) + "[")
    longer = fitting.replace(":", ": ")
    assert len(fitting) == max_chars
    listing = await parse_list(f"[{fitting},{longer}]".encode(), texts, max_chars)
    assert len(listing.items) == 1
    assert len(listing.faults) == 1


async def test_the_channels_of_4096_calls_are_parsed() -> None:
    one = {
        "id": "x" * 32,
        "name": "PJSIP/x",
        "state": "Up",
        "caller": {"name": "", "number": "4940123"},
        "connected": {"name": "", "number": ""},
        "dialplan": {"context": "in", "exten": "1000", "priority": 1, "app_name": "Stasis", "app_data": "rtp-pool"},
        "channelvars": {"text": "y" * 300},
    }
    body = json.dumps([one] * 8192).encode()
    assert len(body) < MAX_LIST_BYTES
    assert len((await parse_list(body, parse_channel)).items) == 8192
