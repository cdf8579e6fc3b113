"""SIPp's account."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_callgen.callers.sipp_statistics import StatisticsError, tally_of

# The head of a file that SIPp 3.6.1 wrote.
NAMES = (
    "StartTime;LastResetTime;CurrentTime;ElapsedTime(P);ElapsedTime(C);TargetRate;CallRate(P);CallRate(C);"
    "IncomingCall(P);IncomingCall(C);OutgoingCall(P);OutgoingCall(C);TotalCallCreated;CurrentCall;SuccessfulCall(P);"
    "SuccessfulCall(C);FailedCall(P);FailedCall(C);FailedCannotSendMessage(P);FailedCannotSendMessage(C);"
    "FailedUnexpectedMessage(P);FailedUnexpectedMessage(C);\n"
)


def row(created: int, live: int, successful: int, failed: int, unsent: int = 0, unexpected: int = 0) -> str:
    return (
        f"2026-01-01;2026-01-01;2026-01-01;00:00:01;00:00:07;2;0;0.85;0;0;0;{created};{created};{live};2;{successful};"
        f"1;{failed};0;{unsent};0;{unexpected};\n"
    )


def test_the_last_row_is_the_account() -> None:
    tally = tally_of([NAMES, row(2, 2, 0, 0), row(6, 1, 4, 1, unexpected=1)])
    assert (tally.placed, tally.completed, tally.active) == (6, 4, 1)
    assert tally.failed == {"FailedUnexpectedMessage": 1}
    assert tally.knows_refusals is False


def test_failures_without_a_reason_are_failures() -> None:
    assert tally_of([NAMES, row(6, 0, 3, 3, unsent=1)]).failed == {"FailedCannotSendMessage": 1, "FailedCall": 2}


def test_a_row_that_is_being_written_is_left_for_the_next_time() -> None:
    whole = [NAMES, row(2, 2, 0, 0)]
    assert tally_of([*whole, row(9, 0, 9, 0)[:40]]).placed == 2


@pytest.mark.parametrize("lines", [[], [NAMES], [NAMES[:30]]])
def test_without_a_row_nothing_has_happened(lines: list[str]) -> None:
    assert tally_of(lines).placed == 0


def test_a_file_that_is_not_sipps_is_refused_with_the_column_that_is_missing() -> None:
    with pytest.raises(StatisticsError, match=r"FailedCall\(C\) ''; accepted is a count"):
        tally_of(["a;b\n", "1;2\n"])


@given(st.lists(st.text(max_size=30).map(lambda text: text + "\n"), max_size=4))
def test_whatever_stands_in_the_file_it_is_an_account_or_an_error(lines: list[str]) -> None:
    with contextlib.suppress(StatisticsError):
        assert tally_of(lines).placed >= 0
