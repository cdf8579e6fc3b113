"""The relay's HTTP: report, pages, live figures and metrics, on sockets that listen already.

A start loads it after the calls of a former relay have been adopted, because their packets wait for nothing of it.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.contract.packet_check import PacketCheck
from rtppool_core.contract.report import Finding, Report
from rtppool_core.contract.report_changes import urgent_part
from rtppool_core.net.http_endpoints import SHUTDOWN_SECONDS, make_app, serve
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.secret_file import SecretFile
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.config import ConfigState
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.lifecycle import Lifecycle
from rtppool_relay.http.live.live_page import LivePage
from rtppool_relay.http.metrics import RelayMetrics
from rtppool_relay.http.report_waits import COMPARE_SECONDS, ReportWaits
from rtppool_relay.http.routes import make_routes
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.http.status import StatusView
from rtppool_relay.media.kernel_stamps import ClockFacts
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.settings import Settings

# During a hand-over calls wait for the next relay, so an open request must not delay the end.
HAND_OVER_SHUTDOWN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class RelayParts:
    """The parts that answers are read from. `steady_ns` is the measurement's clock."""

    settings: Settings
    config_state: Callable[[], ConfigState]
    lifecycle: Lifecycle
    call_ports: CallPorts
    measurement: Measurement
    telephony: Telephony
    clock: ClockFacts
    steady_ns: Callable[[], int]
    drain_seconds: Callable[[], float | None]
    findings: Callable[[], tuple[Finding, ...]]
    job_failures: Callable[[], Mapping[str, int]]
    check_packets: Callable[[], Awaitable[PacketCheck]]


class HttpService:
    """Answers requests from `start` to `close`.

    Attributes:
        status: the relay's state, readiness and health.
        waits: the requests that wait for a change of the report.
    """

    def __init__(self, parts: RelayParts) -> None:
        self._parts = parts
        self.status = StatusView(
            relay=os.uname().nodename,
            node=parts.settings.node_name,
            config_state=parts.config_state,
            lifecycle=parts.lifecycle,
            call_ports=parts.call_ports,
            measurement=parts.measurement,
            clock=parts.clock,
            drain_seconds=parts.drain_seconds,
            findings=parts.findings,
        )
        self._live = LivePage(parts.measurement, parts.call_ports, parts.telephony, self.snapshot)
        self.waits = ReportWaits(lambda: self.snapshot().report, self._brief, self._urgent)
        self._runner: web.AppRunner | None = None

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept the connections that wait in `listeners`, and those to come."""
        hands_over = self._parts.settings.on_stop == "handover"
        shutdown_seconds = HAND_OVER_SHUTDOWN_SECONDS if hands_over else SHUTDOWN_SECONDS
        self._runner = await serve(self._app(), listeners, self._tls(), shutdown_seconds)

    async def run(self, jobs: PeriodicJobs) -> None:
        """Answer the requests that wait for a change, until cancelled."""
        await jobs.repeat("comparing the report", COMPARE_SECONDS, self.compare_report)

    def compare_report(self) -> None:
        """Answer the requests that wait for a change, if the report has changed."""
        self.waits.compare()

    def publish_figures(self, now_ns: int) -> None:
        """Publish the figures that became known; call it after each collection. `now_ns` is the measurement's clock."""
        self._live.tick(now_ns)

    def snapshot(self) -> Snapshot:
        """Return the relay at this moment."""
        telephony = self._parts.telephony
        return self.status.snapshot(self._parts.steady_ns(), telephony.calls_report(), telephony.ari_report())

    async def close(self) -> None:
        """Answer all requests that wait, and close the connections and the port."""
        self._live.stream.close()
        self.waits.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        parts, token_file = self._parts, self._parts.settings.http_token_file
        registry = CollectorRegistry()
        registry.register(RelayMetrics(self.snapshot, parts.measurement, parts.job_failures))
        return make_app(
            registry,
            healthy=lambda: self.status.healthy(time.monotonic()),
            ready=self.status.ready,
            routes=make_routes(
                self.snapshot,
                self.waits.answer,
                parts.telephony.iterate_calls,
                parts.telephony.recent_calls,
                parts.check_packets,
                self._live.routes(),
            ),
            token=SecretFile("HTTP_TOKEN_FILE", token_file).value if token_file else None,
        )

    def _tls(self) -> Callable[[], ssl.SSLContext] | None:
        certificate = self._parts.settings.http_tls
        return certificate.context if certificate else None

    def _urgent(self) -> tuple[Any, ...]:
        return urgent_part(self.status.outline(self._parts.steady_ns(), self._parts.telephony.ari_report()))

    def _brief(self) -> Report:
        telephony = self._parts.telephony
        return self.status.brief(self._parts.steady_ns(), telephony.calls_report(), telephony.ari_report())
