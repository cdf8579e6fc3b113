"""SIPp's own account: the last whole row of the file that `-trace_stat` writes. Pure.

The file is semicolon-separated; its first line names the columns, `(C)` are counts since SIPp began, `(P)` since the
last row (SIPp's reference, «Statistics»).
"""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_callgen.callers.tally import Tally

_CREATED, _SUCCESSFUL, _FAILED = "TotalCallCreated", "SuccessfulCall(C)", "FailedCall(C)"
_FAILED_BY_REASON, _CUMULATED = "Failed", "(C)"


class StatisticsError(ValueError):
    """A file that is not SIPp's; the message says what is missing."""


def tally_of(lines: Iterable[str], *, over: bool = False) -> Tally:
    """The callers' account. Without a row nothing has happened yet.

    Raises:
        StatisticsError: a column is missing, or holds no number.
    """
    whole = [line.rstrip("\r\n").rstrip(";").split(";") for line in lines if line.endswith("\n") and line.strip()]
    if len(whole) < 2:  # noqa: PLR2004 the names and a row
        return Tally(over=over, told_of_refusals=False)
    row = dict(zip(whole[0], whole[-1], strict=False))
    failed = {
        name.removesuffix(_CUMULATED): count
        for name in whole[0]
        if name.startswith(_FAILED_BY_REASON) and name.endswith(_CUMULATED) and name != _FAILED
        if (count := _count(row, name)) > 0
    }
    unnamed = _count(row, _FAILED) - sum(failed.values())
    if unnamed > 0:
        failed["FailedCall"] = unnamed
    return Tally(
        placed=_count(row, _CREATED),
        completed=_count(row, _SUCCESSFUL),
        failed=failed,
        over=over,
        told_of_refusals=False,
    )


def _count(row: dict[str, str], name: str) -> int:
    text = row.get(name, "")
    if not text.isdecimal():
        raise StatisticsError(f"SIPp's statistics have {name} {text!r}; accepted is a count")
    return int(text)
