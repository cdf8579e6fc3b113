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

    def _relay_row(self, relay: RelayState) -> dict[str, Any]:
        """Return a relay with its verdict, and the address of its live page, None before it has one."""
        pod, report = relay.pod, relay.report
        row = {
            "node": pod.node,
            "pod": pod.name,
            "address": f"{self.scheme}://{host_port(pod.address, pod.port)}/" if pod.address else None,
            "problem": relay.failure.reason if relay.failure is not None else "",
            "calls": "",
            "ports": "",
        }
        if report is None:
            return {**row, "verdict": "no report yet", "state": "unknown"}
        if relay.fresh is None:
            return {**row, "verdict": "silent", "state": "bad", "problem": row["problem"] or "it has not answered"}
        return {
            **row,
            "verdict": f"{report.sla.result} ({report.sla.reason})",
            "state": {"Met": "good", "Violated": "bad", "Unknown": "unknown"}[report.sla.result],
            "calls": f"{report.calls.active} active",
            "ports": f"{report.ports.free} of {report.ports.total} free",
            "problem": "; ".join(report.not_ready),
        }


def condition_rows(conditions: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the conditions in the order of docs/conditions.md, `Ready` first. Their state is good, bad or unknown."""
    order = ["Ready", *(kind for kind in REASONS if kind != "Ready")]
    return [_condition_row(each) for each in sorted(conditions, key=lambda each: order.index(each["type"]))]


def _condition_row(condition: dict[str, Any]) -> dict[str, str]:
    kind, status = condition["type"], condition["status"]
    state = {HEALTHY.get(kind, "True"): "good", "Unknown": "unknown"}.get(status, "bad")
    return {**condition, "state": state, "sign": SIGNS[state], "remedy": find_remedy(kind, condition["reason"])}
