from __future__ import annotations

import pytest

from rtppool_core.pool_config import EchoTarget
from rtppool_core.settings import SettingsError
from rtppool_relay.settings import read_settings


def test_the_header_extension_is_off_unless_it_is_asked_for() -> None:
    assert read_settings({}).echo == EchoTarget("127.0.0.1", 4000, extension=False)


@pytest.mark.parametrize(("text", "asked"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_the_header_extension_is_asked_for_by_a_word(text: str, asked: bool) -> None:
    assert read_settings({"ECHO_EXTENSION": text}).echo.extension is asked


def test_another_word_than_true_or_false_is_refused_with_what_is_accepted() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"ECHO_EXTENSION": "1"})
    assert caught.value.problems == ("ECHO_EXTENSION=1: accepted is one of true, false",)
