"""The page of pools as HTML text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import rtppool_core
from rtppool_core.net.udp import host_port
from rtppool_core.pages.templates import Templates
from rtppool_operator.relays.observed import RelayState
from rtppool_operator.status.conditions import REASONS, find_remedy
from rtppool_operator.status.memory import PoolView

# The package that has the templates and the static files.
PACKAGE = "rtppool_operator.page"
# The status that a condition has while all is well. The others have no fault.
HEALTHY = {"Conflicted": "False", "Draining": "False"}
SIGNS = {"good": "✓", "bad": "✗", "unknown": "?"}
MAX_SHOWN_RELAYS = 256


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """A condition: `state` is good, bad or unknown."""

    kind: str
    state: str
    sign: str
    status: str
    reason: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class RelayRow:
    """A relay: its verdict, and the address of its live page, None before it has one."""

    node: str
    pod: str
    verdict: str
    state: str
    calls: str
    ports: str
    problem: str
    address: str | None


@dataclass
class PoolsPage:
    """Renders the page. Relays are linked by `scheme`."""

    scheme: str
    templates: Templates = field(default_factory=lambda: Templates(PACKAGE))

    def render(self, views: Sequence[PoolView], problems: Sequence[str]) -> str:
        """Return the page."""
        pools = [
            {
                "key": view.observation.claim.pool.key,
                "summary": view.status.get("summary", {}),
                "conditions": condition_rows(view.status.get("conditions", ())),
                "relays": [self._relay_row(relay) for relay in view.observation.relays[:MAX_SHOWN_RELAYS]],
                "more": max(0, len(view.observation.relays) - MAX_SHOWN_RELAYS),
            }
            for view in views
        ]
        return self.templates.render("pools.html", pools=pools, problems=problems, version=rtppool_core.__version__)

    def _relay_row(self, relay: RelayState) -> RelayRow:
        pod, report = relay.pod, relay.report
        address = f"{self.scheme}://{host_port(pod.address, pod.port)}/" if pod.address else None
        problem = relay.failure.reason if relay.failure is not None else ""
        if report is None:
            return RelayRow(pod.node, pod.name, "no report yet", "unknown", "", "", problem, address)
        if not relay.live:
            return RelayRow(pod.node, pod.name, "silent", "bad", "", "", problem or "it has not answered", address)
        states = {"Met": "good", "Violated": "bad", "Unknown": "unknown"}
        return RelayRow(
            node=pod.node,
            pod=pod.name,
            verdict=f"{report.sla.result} ({report.sla.reason})",
            state=states[report.sla.result],
            calls=f"{report.calls.active} active",
            ports=f"{report.ports.free} of {report.ports.total} free",
            problem="; ".join(report.not_ready),
            address=address,
        )


def condition_rows(conditions: Sequence[dict[str, Any]]) -> list[ConditionRow]:
    """Return the conditions in the order of docs/conditions.md, `Ready` first."""
    order = ["Ready", *(kind for kind in REASONS if kind != "Ready")]
    return [_condition_row(each) for each in sorted(conditions, key=lambda each: order.index(each["type"]))]


def _condition_row(condition: dict[str, Any]) -> ConditionRow:
    kind, status, reason = condition["type"], condition["status"], condition["reason"]
    state = {HEALTHY.get(kind, "True"): "good", "Unknown": "unknown"}.get(status, "bad")
    return ConditionRow(kind, state, SIGNS[state], status, reason, condition["message"], find_remedy(kind, reason))
