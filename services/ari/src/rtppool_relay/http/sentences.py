"""The SLA's figures in words, for people: units, the limits' names, and the verdict as a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import CallsReport, SlaReport, SlaViolation, WindowReport

US_PER_MS = 1_000
PPM_PER_PERCENT = 10_000
LIMIT_NAMES = {
    "p50Microseconds": "Median round trip",
    "p95Microseconds": "95th percentile of the round trip",
    "p99Microseconds": "99th percentile of the round trip",
    "maxRttMicroseconds": "Longest round trip",
    "maxLatePpm": "Late by relay or echo",
    "maxLossPpm": "Lost between relay and echo",
}


def duration(microseconds: float) -> str:
    """`184 µs`, `24.117 ms`: every digit that was measured, so that no figure above a limit looks equal to it."""
    if abs(microseconds) < US_PER_MS:
        return f"{_plain(microseconds)} µs"
    return f"{_plain(microseconds / US_PER_MS)} ms"


def share(ppm: float) -> str:
    """`0.15 %`, exact."""
    return f"{_plain(ppm / PPM_PER_PERCENT, 4)} %"


def counted(number: float) -> str:
    """`12,345`."""
    return f"{number:,}"


def calls(number: int) -> str:
    """`1 call`, `30 calls`."""
    return f"{counted(number)} call" if number == 1 else f"{counted(number)} calls"


def packets(number: int) -> str:
    """`1 packet`, `1,000 packets`."""
    return f"{counted(number)} packet" if number == 1 else f"{counted(number)} packets"


def in_unit_of(limit: str, value: float) -> str:
    """A figure in the unit that the name ends with."""
    return share(value) if limit.endswith("Ppm") else duration(value)


def verdict_sentence(verdict: SlaReport, limits: SlaLimits, window: WindowReport | None) -> str:
    """Why the verdict is what it is. `window` is the one of calls."""
    match verdict.reason:
        case "NoCalls":
            return "No call was measured in the window. The probe's figures are shown, never judged."
        case "NoPackets":
            return f"{calls(verdict.active_calls)} active, but no packet of a call has gone to the echo in the window."
        case "TooFewSamples":
            measured = packets(window.packets if window else 0)
            return f"Too little to judge: {measured} of calls, a verdict takes {counted(limits.min_samples)}."
        case "LimitExceeded":
            return " ".join(violation_sentence(violation) for violation in verdict.violations)
        case _:
            return "Every limit is kept."


def violation_sentence(violation: SlaViolation) -> str:
    """A limit that was exceeded, for example `Longest round trip: 23.001 ms, accepted is 22 ms`."""
    name = LIMIT_NAMES.get(violation.limit, violation.limit)
    measured, accepted = (in_unit_of(violation.limit, value) for value in (violation.measured, violation.accepted))
    return f"{name}: {measured}, accepted is {accepted}."


def call_remarks(report: CallsReport) -> Iterator[str]:
    """What is odd about calls that are active now, and what it does to the figures."""
    if report.shared:
        yield (
            f"{calls(report.shared)} with a third channel in the bridge: Asterisk mixes there every 20 ms, and "
            "those are in the figures."
        )
    if report.silent:
        yield f"{calls(report.silent)} without a packet from Asterisk: nothing of theirs is in the figures."
    if report.one_way:
        yield (
            f"{calls(report.one_way)} of which packets come from Asterisk and nothing goes back: "
            "the caller hears nothing."
        )


def tier_sentence(verdict: SlaReport) -> str:
    """Which limits hold for this many calls."""
    if verdict.tier_up_to_calls is None:
        return "no tiers are configured, the limits of any load hold alone."
    if verdict.above_tiers:
        return f"above the last tier, whose limits hold all the same (up to {calls(verdict.tier_up_to_calls)})."
    return f"the limits of the tier up to {calls(verdict.tier_up_to_calls)} hold."


def _plain(value: float, digits: int = 3) -> str:
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")
