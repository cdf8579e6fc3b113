"""Callers' numbers as they are shown, and text of Asterisk that may hold one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_relay.caller_numbers import MIN_SOUGHT_CHARACTERS, CallerNumbers, without_digits

KEY = b"a key of 16 byte"
MASKED, HASHED, PLAIN = CallerNumbers(), CallerNumbers("hashed", KEY), CallerNumbers("plain")
numbers = st.from_regex(r"\+?[0-9]{5,15}", fullmatch=True)


def test_a_masked_number_shows_its_last_two_digits_only() -> None:
    assert MASKED.shown("4940123456") == "********56"


def test_a_short_masked_number_shows_nothing() -> None:
    assert MASKED.shown("1000") == "****"


@pytest.mark.parametrize("form", [MASKED, HASHED, PLAIN])
def test_no_number_is_no_number(form: CallerNumbers) -> None:
    assert form.shown("") is None


def test_a_hashed_number_is_the_begin_of_its_hmac_so_that_relays_with_one_key_agree() -> None:
    # printf 4940123456 | openssl dgst -sha256 -hmac 'a key of 16 byte'
    assert HASHED.shown("4940123456") == "~787a8c5f64af"


def test_another_key_makes_another_hash() -> None:
    assert HASHED.shown("4940123456") != CallerNumbers("hashed", b"another key of 16").shown("4940123456")


def test_a_plain_number_is_shown_as_it_is() -> None:
    assert PLAIN.shown("+4940123456") == "+4940123456"


def test_the_key_is_not_shown_with_the_setting() -> None:
    assert KEY.decode() not in repr(HASHED)


@given(numbers, st.text(), st.text(), st.sampled_from([MASKED, HASHED]))
def test_a_call_id_does_not_hold_the_number_of_its_caller(
    number: str, before: str, after: str, form: CallerNumbers
) -> None:
    shown = form.hide_in(f"{before}{number}{after}", number)
    assert number.removeprefix("+") not in shown or number.removeprefix("+") in (form.shown(number) or "")


@pytest.mark.parametrize(("number", "shown"), [("+4940123456", "+*********56@pbx"), ("4940123456", "+********56@pbx")])
def test_a_number_is_found_with_and_without_its_plus(number: str, shown: str) -> None:
    assert MASKED.hide_in("+4940123456@pbx", number) == shown


@pytest.mark.parametrize("number", ["", "1000", "+1000"])
def test_a_number_as_short_as_a_port_stays_in_other_text(number: str) -> None:
    assert MASKED.hide_in("1000@10.0.0.1", number) == "1000@10.0.0.1"


def test_a_plain_number_stays_in_other_text() -> None:
    assert PLAIN.hide_in("4940123456@pbx", "4940123456") == "4940123456@pbx"


@given(st.text(), numbers, st.text())
def test_text_that_was_not_read_holds_no_number(before: str, number: str, after: str) -> None:
    shown = without_digits(before + number + after)
    assert number not in shown
    assert len(shown) == len(before + number + after)


def test_short_runs_of_digits_stay_in_text_that_was_not_read() -> None:
    assert MIN_SOUGHT_CHARACTERS == 5
    assert without_digits("500 at 127.0.0.1:8088, not +4940123456") == "500 at 127.0.0.1:8088, not ***********"
