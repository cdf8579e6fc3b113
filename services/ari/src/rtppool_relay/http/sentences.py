"""Figures and verdicts as text for people: units, names of limits, sentences."""

from __future__ import annotations

from collections.abc import Iterator

from rtppool_core.contract.pools_file import SlaLimits
from rtppool_core.contract.report import CallsReport, HostReport, SlaReport, SlaViolation, WindowReport
from rtppool_core.units import parts_per_million

US_PER_MS = 1_000
MS_PER_SECOND = 1_000
# A smaller part of the window in which the media process waits is usual.
MAX_USUAL_RUN_DELAY_PART = 100
PPM_PER_PERCENT = 10_000
LIMIT_NAMES = {
    "p50Microseconds": "Median round trip",
    "p95Microseconds": "95th percentile of the round trip",
    "p99Microseconds": "99th percentile of the round trip",
    "maxRttMicroseconds": "Longest round trip",
    "maxLatePpm": "Late and judged",
    "maxLatePpm.judgeHost": "Late and judged, with the host's time",
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


def name_limit(limit: str, limits: SlaLimits) -> str:
    """Return a limit's name for people."""
    judged = f"{limit}.judgeHost" if limits.judge_host else limit
    return LIMIT_NAMES.get(judged) or LIMIT_NAMES.get(limit, limit)


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
            return f"No verdict, because these limits were not measured: {_join_limits(verdict.missing, limits)}."
        case "LimitExceeded":
            return " ".join(describe_violation(violation, limits) for violation in verdict.violations)
        case _:
            return "Every limit is met."


def _join_limits(names: tuple[str, ...], limits: SlaLimits) -> str:
    return ", ".join(name_limit(name, limits) for name in names)


def _count_round_trips(window: WindowReport | None) -> int:
    if window is None or window.round_trip is None:
        return 0
    return sum(count for _, count in window.round_trip.counts)


def describe_violation(violation: SlaViolation, limits: SlaLimits) -> str:
    """Name a limit and both values, as in `Longest round trip: 23.001 ms, accepted is 22 ms`."""
    name = name_limit(violation.limit, limits)
    measured, accepted = (format_limit(violation.limit, value) for value in (violation.measured, violation.accepted))
    return f"{name}: {measured}, accepted is {accepted}."


def describe_host(host: HostReport, window: WindowReport | None) -> str | None:
    """Name the host's share of the late packets of calls; None without a packet late by relay, echo or host.

    Example: `0.61 % late; the hypervisor took 3.0 s of this machine's 122 s of CPU; all late packets lie in those
    seconds. Causes: host 300, relay 20, echo 12; 40 judged.`
    """
    if window is None or not window.late.here:
        return None
    late, share = window.late, parts_per_million(window.late.here, window.packets)
    parts = [f"{_format_rough_share(share or 0)} late"]
    if takers := list(_describe_host_time(host)):
        parts += [" and ".join(takers), _describe_where(host)]
    elif any(witness.present for witness in host.witnesses):
        parts.append("the machine took no processor time away")
    else:
        parts.append("no witness of host time can be read")
    causes = [("host", late.host), ("relay", late.relay), ("echo", late.echo)]
    counted = ", ".join(f"{cause} {format_number(number)}" for cause, number in causes if number)
    sentence = f"{'; '.join(parts)}. Causes: {counted}; {format_number(late.counted)} judged."
    if late.counted > late.here:
        sentence += " Some of these are late by the source, but arrived within the threshold."
    if late.echo and host.echo == "NotReported":
        sentence += " The echo reports no host time of its machine, so its stalls count as echo."
    return sentence


def _describe_host_time(host: HostReport) -> Iterator[str]:
    if host.stolen_milliseconds:
        of = "" if host.cpu_seconds is None else f" of this machine's {host.cpu_seconds:.0f} s of CPU"
        yield f"the hypervisor took {_format_host_time(host.stolen_milliseconds)}{of}"
    if host.throttled_milliseconds:
        yield f"a CPU limit of this container held it back for {_format_host_time(host.throttled_milliseconds)}"
    if (host.run_delay_milliseconds or 0) > host.window_seconds * US_PER_MS / MAX_USUAL_RUN_DELAY_PART:
        yield f"the media process waited {_format_host_time(host.run_delay_milliseconds or 0)} for a processor"
    if host.heartbeat_late_milliseconds and not host.stolen_milliseconds and not host.throttled_milliseconds:
        yield f"processors stood still for {_format_host_time(host.heartbeat_late_milliseconds)}"


def _describe_where(host: HostReport) -> str:
    if host.late_packets == host.late_in_host_seconds:
        return "all late packets lie in those seconds"
    if not host.late_in_host_seconds:
        return "no late packet lies in those seconds"
    inside, late = (format_number(number or 0) for number in (host.late_in_host_seconds, host.late_packets))
    return f"{inside} of {late} late packets lie in those seconds"


def _format_host_time(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < MS_PER_SECOND else f"{milliseconds / MS_PER_SECOND:.1f} s"


def _format_rough_share(ppm: int) -> str:
    """Format with two digits, rounded up, so that a share above a limit never looks equal to it."""
    step = 10 ** max(0, len(str(ppm)) - 2)
    return format_share(-(-ppm // step) * step)


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
