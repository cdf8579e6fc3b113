"""The content of the live table, from a relay's `/status`, `/sla` and `/calls`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_ROWS = 20


@dataclass(frozen=True, slots=True)
class CallRow:
    """A live call. None is not measured."""

    call: str
    port: int | None
    state: str
    packets: int
    p50_microseconds: int | None
    p99_microseconds: int | None
    late: int
    late_by_source: int
    late_by_host: int | None
    lost: int
    sla: str


@dataclass(frozen=True, slots=True)
class RelayView:
    """A relay at one moment. `window` covers the last 60 s and is None without packets.

    `host_share` names the host's share of late packets. `is_stolen_from`: the hypervisor took processor time.
    """

    port_range: str
    ports_free: int
    ports_total: int
    active: int
    accepted: int
    ended: int
    refused: Mapping[str, int]
    refusals: tuple[str, ...]
    ari_state: str
    ari_reason: str | None
    echo: str
    echo_reachable: bool | None
    sla: str
    sla_reason: str
    tier_up_to_calls: int | None
    violations: tuple[str, ...]
    window: Mapping[str, Any] | None
    probe: Mapping[str, Any] | None
    calls: tuple[CallRow, ...]
    host_share: str | None = None
    is_stolen_from: bool = False


def relay_view(status: Mapping[str, Any], sla: Mapping[str, Any], calls: Mapping[str, Any]) -> RelayView:
    """Combine the three documents.

    Raises:
        KeyError: a document lacks a field of this version.
    """
    ports, counts, echo = status["ports"], status["calls"], status["echo"]
    refusals = [call["refusal"] for call in calls["recent"] if call.get("refusal")]
    return RelayView(
        port_range=ports["range"],
        ports_free=ports["free"],
        ports_total=ports["total"],
        active=counts["active"],
        accepted=counts["accepted"],
        ended=counts["ended"],
        refused=counts["refused"],
        refusals=tuple(dict.fromkeys(refusals)),
        ari_state=status["ari"]["state"],
        ari_reason=status["ari"].get("reason"),
        echo=f"{echo['host']}:{echo['port']}",
        echo_reachable=echo.get("reachable"),
        sla=sla["result"],
        sla_reason=sla["reason"],
        tier_up_to_calls=sla.get("tierUpToCalls"),
        violations=tuple(f"{each['limit']} {each['measured']} > {each['accepted']}" for each in sla["violations"]),
        window=sla.get("calls"),
        probe=sla.get("probe"),
        calls=tuple(_row(call) for call in calls["live"]),
        host_share=sla.get("host", {}).get("sentence"),
        is_stolen_from=_is_stolen_from(sla.get("host", {})),
    )


def _is_stolen_from(host: Mapping[str, Any]) -> bool:
    """Return whether the hypervisor took a thousandth of the processor time: milliseconds per second."""
    return bool(host.get("stolenMilliseconds", 0) > host.get("cpuSeconds", 0))


def _row(call: Mapping[str, Any]) -> CallRow:
    figures = call.get("figures", {})
    late = figures.get("late", {})
    return CallRow(
        call=call["call"],
        port=call.get("port"),
        state=call["state"],
        packets=figures.get("packets", 0),
        p50_microseconds=figures.get("p50Microseconds"),
        p99_microseconds=figures.get("p99Microseconds"),
        late=late.get("relay", 0) + late.get("echo", 0),
        late_by_source=late.get("source", 0),
        late_by_host=late.get("host"),
        lost=figures.get("lost", 0),
        sla=figures.get("sla", "Unknown"),
    )
