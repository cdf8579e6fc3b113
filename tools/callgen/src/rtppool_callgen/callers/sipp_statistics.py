"""SIPp's counts: the last complete row of the file that `-trace_stat` writes.

The file is semicolon-separated and its first line names the columns. `(C)` are counts since SIPp's start, `(P)` since
the last row (SIPp's reference, «Statistics»).
"""

from __future__ import annotations

from collections.abc import Iterable

from rtppool_callgen.callers.tally import Tally

_CREATED, _SUCCESSFUL, _FAILED = "TotalCallCreated", "SuccessfulCall(C)", "FailedCall(C)"
_FAILED_BY_REASON, _CUMULATED = "Failed", "(C)"


class StatisticsError(ValueError):
    """The file is not one of SIPp's. The message names the column."""


def tally_of(lines: Iterable[str], *, over: bool = False) -> Tally:
    """Return the counts of the last complete row, zeros before the first.

    Raises:
        StatisticsError: a column is missing or has no number.
    """
    whole = [line.rstrip("\r\n").rstrip(";").split(";") for line in lines if line.endswith("\n") and line.strip()]
    if len(whole) < 2:  # noqa: PLR2004 the names and a row
        return Tally(over=over, knows_refusals=False)
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
        knows_refusals=False,
    )


def _count(row: dict[str, str], name: str) -> int:
    text = row.get(name, "")
    if not text.isdecimal():
        raise StatisticsError(f"SIPp's statistics have {name} {text!r}; accepted is a count")
    return int(text)
