from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

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


def test_what_is_below_the_level_is_not_said(configured: Say) -> None:
    stream = configured("WARNING", "text")
    logging.getLogger("rtp").info("quiet")
    assert stream.getvalue() == ""
