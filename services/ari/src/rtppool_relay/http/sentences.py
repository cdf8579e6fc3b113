"""Figures and verdicts as text for people: units, names of limits, sentences."""

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


def format_duration(microseconds: float) -> str:
    """Format as `184 µs` or `24.117 ms`, with every measured digit, so that no figure above a limit looks equal."""
    if abs(microseconds) < US_PER_MS:
        return f"{_strip_zeros(microseconds)} µs"
    return f"{_strip_zeros(microseconds / US_PER_MS)} ms"


def format_share(ppm: float) -> str:
    """Format ppm as `0.15 %`, without rounding."""
    return f"{_strip_zeros(ppm / PPM_PER_PERCENT, 4)} %"


def format_number(number: float) -> str:
    """Format as `12,345`."""
    return f"{number:,}"


def format_count(number: int, noun: str) -> str:
    """Format as `1 call`, `1,000 calls`."""
    return f"{format_number(number)} {noun}" if number == 1 else f"{format_number(number)} {noun}s"


def format_limit(limit: str, value: float) -> str:
    """Format a limit or its figure in the unit that the limit's name ends with."""
    return format_share(value) if limit.endswith("Ppm") else format_duration(value)


def describe_verdict(verdict: SlaReport, limits: SlaLimits, window: WindowReport | None) -> str:
    """Explain the verdict over the window of calls."""
    match verdict.reason:
        case "NoCalls":
            return "No call was measured in the window. The probe's figures are shown and never judged."
        case "NoPackets":
            calls = format_count(verdict.active_calls, "call")
            return f"{calls} active, but the relay sent no packet of a call to the echo in the window."
        case "TooFewSamples":
            packets = format_count(window.packets if window else 0, "packet")
            measured = format_count(_count_round_trips(window), "round trip")
            needed = format_number(limits.min_samples)
            return f"Too few round trips to judge: {measured} measured of {packets} of calls, a verdict needs {needed}."
        case "NotMeasured":
            return f"No verdict, because these limits were not measured: {_join_limits(verdict.missing)}."
        case "LimitExceeded":
            return " ".join(describe_violation(violation) for violation in verdict.violations)
        case _:
            return "Every limit is met."


def _join_limits(limits: tuple[str, ...]) -> str:
    return ", ".join(LIMIT_NAMES.get(limit, limit) for limit in limits)


def _count_round_trips(window: WindowReport | None) -> int:
    if window is None or window.round_trip is None:
        return 0
    return sum(count for _, count in window.round_trip.counts)


def describe_violation(violation: SlaViolation) -> str:
    """Name a limit and both values, as in `Longest round trip: 23.001 ms, accepted is 22 ms`."""
    name = LIMIT_NAMES.get(violation.limit, violation.limit)
    measured, accepted = (format_limit(violation.limit, value) for value in (violation.measured, violation.accepted))
    return f"{name}: {measured}, accepted is {accepted}."


def describe_calls(report: CallsReport) -> Iterator[str]:
    """Yield a remark for each kind of active call that distorts the figures."""
    if report.shared:
        calls = format_count(report.shared, "call")
        yield f"{calls} with a third channel in the bridge: Asterisk mixes every 20 ms, and the figures include that."
    if report.silent:
        calls = format_count(report.silent, "call")
        yield f"{calls} without a packet from Asterisk: the figures include nothing of such a call."
    if report.one_way:
        calls = format_count(report.one_way, "call")
        yield f"{calls} with packets from Asterisk and none on the way back: the caller hears nothing."


def describe_tier(verdict: SlaReport) -> str:
    """Name the tier whose limits apply."""
    if verdict.tier_up_to_calls is None:
        return "no tiers are configured, only the limits at any load apply."
    calls = format_count(verdict.tier_up_to_calls, "call")
    if verdict.above_tiers:
        return f"above the last tier, whose limits apply (up to {calls})."
    return f"the limits of the tier up to {calls} apply."


def _strip_zeros(value: float, digits: int = 3) -> str:
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")
