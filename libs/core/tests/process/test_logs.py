from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import msgspec
import pytest

from rtppool_core.process import logs

Say = Callable[[str, str], io.StringIO]


@pytest.fixture
def configured() -> Iterator[Say]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(log_level: str, log_format: str) -> io.StringIO:
        stream = io.StringIO()
        # force=True closes pytest's own handlers. These stay open.
        root.handlers = []
        logs.configure(log_level, log_format, stream)
        return stream

    yield configure
    logs.configure("INFO", "text", io.StringIO())
    root.handlers, root.level = handlers, level


def test_a_json_line_holds_the_fields_beside_time_level_and_message(configured: Say) -> None:
    stream = configured("INFO", "json")
    logging.getLogger("rtp").info("call ended %s", "now", extra={"fields": {"port": 10000, "verdict": "Met"}})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "INFO", "logger": "rtp", "message": "call ended now", "port": 10000, "verdict": "Met"}


def test_a_text_line_ends_with_the_fields(configured: Say) -> None:
    stream = configured("INFO", "text")
    logging.getLogger("rtp").warning("late", extra={"fields": {"port": 10000}})
    assert stream.getvalue().endswith(" WARNING rtp: late port=10000\n")


def test_a_traceback_stays_inside_its_json_line(configured: Say) -> None:
    stream = configured("INFO", "json")
    try:
        int("broken")
    except ValueError:
        logging.getLogger("rtp").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal for int() with base 10: 'broken'" in json.loads(line)["traceback"]


@pytest.mark.parametrize("name", logs.OWN_LOGGERS)
def test_at_debug_our_modules_log_everything_and_libraries_from_info_on(configured: Say, name: str) -> None:
    stream = configured("DEBUG", "text")
    logging.getLogger(f"{name}.room").debug("ours")
    for library in ("asyncio", "aiohttp.client", "kubernetes.client.rest", "kopf.objects", "rtppool"):
        logging.getLogger(library).debug("noise")
    logging.getLogger("asyncio").info("a fact")
    assert [line.rpartition(": ")[2] for line in stream.getvalue().splitlines()] == ["ours", "a fact"]


def test_a_program_that_leaves_debug_logs_no_more_than_its_level(configured: Say) -> None:
    configured("DEBUG", "text")
    stream = configured("INFO", "text")
    logging.getLogger("rtppool_core.room").debug("quiet")
    assert stream.getvalue() == ""


def test_what_is_below_the_level_is_not_said(configured: Say) -> None:
    stream = configured("WARNING", "text")
    logging.getLogger("rtp").info("quiet")
    assert stream.getvalue() == ""


FOREIGN = "1234\n7\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800 ü"
ESCAPED = r"1234\n7\r\x1b[31m\x00\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800 ü"


def test_text_of_others_is_escaped_once_in_message_and_fields(configured: Say) -> None:
    stream = configured("INFO", "text")
    logging.getLogger("rtp").info("caller %s", FOREIGN, extra={"fields": {"name": FOREIGN, "names": [FOREIGN]}})
    (line,) = stream.getvalue().split("\n")[:-1]
    assert f" caller {ESCAPED} name={ESCAPED} names=" in line
    assert line.isprintable()


def test_a_number_that_forges_a_line_stays_inside_its_own(configured: Say) -> None:
    stream = configured("INFO", "text")
    forged = "7\n2026-01-01T00:00:00.000Z ERROR   rtp: the relay is compromised"
    logging.getLogger("rtp").warning("caller %s", forged)
    assert len(stream.getvalue().splitlines()) == 1


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_message_of_an_exception_is_escaped_in_its_traceback(configured: Say, log_format: str) -> None:
    stream = configured("INFO", log_format)
    try:
        cause = KeyError("inner\nforged")
        cause.add_note("note\nforged")
        fail(ExceptionGroup("several\nforged", [ValueError(FOREIGN)]), cause)
    except ExceptionGroup:
        logging.getLogger("rtp").exception("failed")
    text = stream.getvalue()
    lines = (json.loads(text)["traceback"] if log_format == "json" else text).splitlines()
    assert f"  ValueError: {ESCAPED}" in lines
    assert r"KeyError: 'inner\nforged'\nnote\nforged" in lines
    assert not [line for line in lines if line.startswith("forged")]
    assert text.replace("\n", "").isprintable()


def test_a_json_line_is_one_line_of_ascii_that_strict_parsers_read(configured: Say) -> None:
    stream = configured("INFO", "json")
    logging.getLogger("rtp").info("%s", FOREIGN, extra={"fields": {"names": {FOREIGN: [FOREIGN]}}})
    (line,) = stream.getvalue().split("\n")[:-1]
    assert line.isascii()
    assert line.isprintable()
    decoded = msgspec.json.decode(line)
    value = FOREIGN.replace("\ud800", r"\ud800")
    assert decoded["message"] == value
    assert decoded["names"] == {value: [value]}


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("foreign", ["a" * 1_000_000, "\x00" * 1_000_000, "😀\\" * 100_000])
def test_a_line_has_a_bound(configured: Say, log_format: str, foreign: str) -> None:
    stream = configured("INFO", log_format)
    try:
        fail(ValueError(foreign))
    except ValueError:
        logging.getLogger("rtp").exception("caller %s", foreign, extra={"fields": {"name": foreign, "port": 7}})
    text = stream.getvalue()
    assert len(text) <= logs.MAX_LINE_CHARACTERS + logs.MAX_TRACEBACK_CHARACTERS + len("\n\n")
    if log_format == "json":
        assert json.loads(text)["port"] in {7, "7"}


def test_an_exception_of_endless_depth_has_a_bound(configured: Say) -> None:
    stream = configured("INFO", "text")

    def dive(depth: int) -> None:
        try:
            dive(depth + 1)
        except RecursionError as error:
            raise RuntimeError(f"{depth}") from error

    try:
        dive(0)
    except RuntimeError:
        logging.getLogger("rtp").exception("failed")
    assert len(stream.getvalue()) <= logs.MAX_LINE_CHARACTERS + logs.MAX_TRACEBACK_CHARACTERS + len("\n\n")
