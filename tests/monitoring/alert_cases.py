"""Series that make each alert fire, and series that do not, for `promtool test rules`.

Values are in promtool's notation: `0x40` is forty times 0, `0+10x40` counts up by 10. A sample is 15 s apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RELAY = 'job="voice/rtp-relay", namespace="voice", node="worker-1", pod="rtp-relay-x7"'
ECHO = 'job="voice/rtp-echo", namespace="voice", node="worker-1", pod="rtp-echo-k2"'
OPERATOR = 'job="voice/rtp-operator", namespace="voice", pod="rtp-operator-5c"'
INTERVAL_SECONDS = 15


@dataclass(frozen=True)
class Alert:
    """An alert: its labels beside those of the rule, and its sentence."""

    labels: str
    summary: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Series, a time, and the alerts then."""

    alert: str
    series: Mapping[str, str]
    at: str
    fires: tuple[Alert, ...] = ()


def ports(free: int, leased: int, resting: int = 0, quarantined: int = 0) -> dict[str, str]:
    """Return constant ports by state."""
    states = {"free": free, "leased": leased, "resting": resting, "quarantined": quarantined, "excluded": 50}
    return {f'rtp_relay_ports{{{RELAY}, state="{state}"}}': f"{number}x80" for state, number in states.items()}


def relay(metric: str, values: str, more: str = "") -> dict[str, str]:
    """Return one series of a relay."""
    return {f"{metric}{{{RELAY}{more}}}": values}


def echo(metric: str, values: str) -> dict[str, str]:
    """Return one series of an echo."""
    return {f"{metric}{{{ECHO}}}": values}


def operator(metric: str, values: str, more: str = "") -> dict[str, str]:
    """Return one series of the operator."""
    return {f"{metric}{{{OPERATOR}{more}}}": values}


def condition(kind: str, values: str) -> dict[str, str]:
    """Return a condition of a pool."""
    return operator("rtp_operator_pool_condition", values, f', condition="{kind}", pool="voice/default"')


def stolen(of: str, share: float) -> dict[str, str]:
    """Return processor time and the stolen share of it, for the relay's or the echo's machine."""
    labels = RELAY if of == "relay" else ECHO
    return {
        f"rtp_{of}_host_cpu_seconds_total{{{labels}}}": "0+60x80",
        f"rtp_{of}_host_stolen_seconds_total{{{labels}}}": f"0+{60 * share:g}x80",
    }


def refused(reason: str, values: str) -> dict[str, str]:
    """Return refused calls."""
    return relay("rtp_relay_calls_refused_total", values, f', reason="{reason}"')


def without_sound(metric: str, calls: str, accepted: str) -> dict[str, str]:
    """Return calls without sound and accepted calls."""
    return {**relay(metric, calls), **relay("rtp_relay_calls_accepted_total", accepted)}


def ari(state: str, values: str) -> dict[str, str]:
    """Return a state of the connection to Asterisk."""
    return relay("rtp_relay_ari_state", values, f', state="{state}"')


def of_relay(summary: str, **more: str) -> Alert:
    """Return an alert about the relay."""
    return Alert(RELAY, summary, more)


def of_pool(kind: str, summary: str) -> Alert:
    """Return an alert about the pool."""
    return Alert(OPERATOR, summary, {"condition": kind, "pool": "voice/default"})


SILENT, ONE_WAY = "rtp_relay_calls_silent_total", "rtp_relay_calls_one_way_total"
CYCLES = "rtp_operator_cycles_total"
DONE = ', result="done"'
STALE = Alert("", "No operator reads the cluster, so edits of pools have no effect and their statuses are old.")

CASES = (
    Case(
        "RtpPoolSlaViolated",
        relay("rtp_relay_sla_met", "0x40"),
        "2m",
        (of_relay("Calls of the relay on worker-1 do not meet their SLA tier."),),
    ),
    Case("RtpPoolSlaViolated", relay("rtp_relay_sla_met", "0x40"), "1m45s"),
    Case("RtpPoolSlaViolated", relay("rtp_relay_sla_met", "1x40"), "9m"),
    # Too few packets to judge: the series ends.
    Case("RtpPoolSlaViolated", relay("rtp_relay_sla_met", "0x4 stale"), "9m"),
    Case(
        "RtpPoolNearlyEmpty",
        ports(free=5, leased=93, quarantined=2),
        "2m",
        (of_relay("95% of the ports of the relay on worker-1 are used."),),
    ),
    Case("RtpPoolNearlyEmpty", ports(free=10, leased=90), "9m"),
    # A resting port can be leased again.
    Case("RtpPoolNearlyEmpty", ports(free=0, leased=80, resting=20), "9m"),
    Case(
        "RtpPoolCallsRefused",
        refused("NoFreePort", "0x4 3x40"),
        "3m",
        (of_relay("The relay on worker-1 refuses calls: NoFreePort.", reason="NoFreePort"),),
    ),
    Case("RtpPoolCallsRefused", refused("NoFreePort", "0x4 3x60"), "9m"),
    Case("RtpPoolCallsRefused", refused("Draining", "0+1x40"), "5m"),
    Case(
        "RtpPoolEchoUnreachable",
        relay("rtp_relay_echo_reachable", "1x4 0x40"),
        "2m",
        (of_relay("The echo does not answer the relay on worker-1, so it refuses calls."),),
    ),
    Case("RtpPoolEchoUnreachable", relay("rtp_relay_echo_reachable", "1x4 0 1x40"), "2m"),
    Case(
        "RtpPoolAsteriskDisconnected",
        ari("Unauthorized", "1x40"),
        "2m",
        (of_relay("The relay on worker-1 has no connection to Asterisk: Unauthorized.", state="Unauthorized"),),
    ),
    Case("RtpPoolAsteriskDisconnected", ari("NotConfigured", "1x40"), "9m"),
    Case("RtpPoolAsteriskDisconnected", ari("Connected", "1x40") | ari("Unreachable", "0x40"), "9m"),
    Case(
        "RtpPoolSilentCalls",
        without_sound(SILENT, "0+1x60", "0+50x60"),
        "15m",
        (of_relay("Calls of the relay on worker-1 had no sound from Asterisk: 60 in 15 minutes."),),
    ),
    Case("RtpPoolSilentCalls", without_sound(SILENT, "0+1x60", "0+200x60"), "15m"),
    Case("RtpPoolSilentCalls", without_sound(SILENT, "7x60", "0x60"), "15m"),
    Case(
        "RtpPoolOneWayCalls",
        without_sound(ONE_WAY, "0x30 1x60", "9x100"),
        "15m",
        (of_relay("Calls of the relay on worker-1 got no packet back: 1 in 15 minutes."),),
    ),
    Case("RtpPoolOneWayCalls", without_sound(ONE_WAY, "0+1x60", "0+200x60"), "15m"),
    Case(
        "RtpPoolHostStolen",
        stolen("relay", 0.02) | stolen("echo", 0.03),
        "15m",
        (
            of_relay("The hypervisor takes 2% of the processor time of worker-1."),
            Alert(ECHO, "The hypervisor takes 3% of the processor time of worker-1."),
        ),
    ),
    Case("RtpPoolHostStolen", stolen("relay", 0.005) | stolen("echo", 0.005), "15m"),
    Case("RtpPoolHostStolen", stolen("relay", 0.02), "9m"),
    Case(
        "RtpPoolCpuThrottled",
        relay("rtp_relay_cpu_throttled_seconds_total", "0+0.1x60")
        | echo("rtp_echo_cpu_throttled_seconds_total", "0+0.1x60"),
        "9m",
        (
            of_relay("A CPU limit holds back the pod rtp-relay-x7 on worker-1."),
            Alert(ECHO, "A CPU limit holds back the pod rtp-echo-k2 on worker-1."),
        ),
    ),
    Case("RtpPoolCpuThrottled", relay("rtp_relay_cpu_throttled_seconds_total", "3x60"), "9m"),
    Case(
        "RtpPoolRealTimeRefused",
        relay("rtp_relay_preflight_findings", "1x60", ', code="RealTimeRefused"'),
        "6m",
        (of_relay("The kernel of worker-1 refuses real-time priority to the relay.", code="RealTimeRefused"),),
    ),
    Case("RtpPoolRealTimeRefused", relay("rtp_relay_preflight_findings", "0x60", ', code="RealTimeRefused"'), "9m"),
    Case("RtpPoolRealTimeRefused", relay("rtp_relay_preflight_findings", "1x60", ', code="NodePorts"'), "9m"),
    Case(
        "RtpPoolConfigRejected",
        relay("rtp_relay_config_rejected", "1x40"),
        "2m",
        (of_relay("The relay on worker-1 rejects its configuration and keeps the previous one."),),
    ),
    Case("RtpPoolConfigRejected", relay("rtp_relay_config_rejected", "0x40"), "9m"),
    Case(
        "RtpPoolNotProgrammed",
        condition("Programmed", "0x40"),
        "6m",
        (of_pool("Programmed", "Relays of the pool voice/default do not run its current configuration."),),
    ),
    Case("RtpPoolNotProgrammed", condition("Programmed", "0x8 1x40"), "9m"),
    Case("RtpPoolNotProgrammed", condition("Conflicted", "0x60"), "9m"),
    Case(
        "RtpPoolNotReady",
        condition("Ready", "0x40"),
        "6m",
        (of_pool("Ready", "The pool voice/default is not ready."),),
    ),
    Case("RtpPoolNotReady", condition("Ready", "1x60") | condition("SLAMet", "0x60"), "9m"),
    # The operator stands by or its API server is away: its counter stands still.
    Case("RtpPoolOperatorStale", operator(CYCLES, "7x60", DONE), "5m", (STALE,)),
    # No operator is scraped.
    Case("RtpPoolOperatorStale", relay("rtp_relay_active_calls", "0x60"), "3m", (STALE,)),
    Case("RtpPoolOperatorStale", operator(CYCLES, "0+7x60", DONE), "9m"),
    # One of two operators stands by.
    Case(
        "RtpPoolOperatorStale",
        operator(CYCLES, "0+7x60", DONE) | operator(CYCLES, "0x60", f'{DONE}, replica="2"'),
        "9m",
    ),
    Case(
        "RtpPoolRelaysNotScraped",
        operator("rtp_operator_relays", "2x60") | relay("rtp_relay_active_calls", "0x60"),
        "6m",
        (Alert("", "Prometheus reads fewer relays than the 2 that the operator sees."),),
    ),
    Case(
        "RtpPoolRelaysNotScraped",
        operator("rtp_operator_relays", "2x60"),
        "6m",
        (Alert("", "Prometheus reads fewer relays than the 2 that the operator sees."),),
    ),
    Case(
        "RtpPoolRelaysNotScraped",
        operator("rtp_operator_relays", "1x60") | relay("rtp_relay_active_calls", "0x60"),
        "9m",
    ),
)
