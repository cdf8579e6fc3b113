"""The relay's state, read from its parts: snapshot, brief report, readiness and health."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import structs

import rtppool_core
from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    Finding,
    MediaReport,
    PortsReport,
    Report,
    Windows,
)
from rtppool_core.net.http_endpoints import Health
from rtppool_core.net.udp import host_port
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.config import ConfigState, RelayConfig
from rtppool_relay.figures.echo_health import UNREACHABLE_AFTER_NS
from rtppool_relay.figures.host_time import host_report
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.figures.sla import SlaVerdict, judge
from rtppool_relay.http.lifecycle import Lifecycle
from rtppool_relay.http.sentences import describe_host
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.media.kernel_stamps import ClockFacts
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.streams.slices import Slice, window_report

LOOP_STALLED_AFTER_SECONDS = 5.0
NO_CALLS = CallsReport(active=0, accepted=0, ended=0, cut=0, adopted=0, refused={})
NO_MEDIA = MediaReport(workers=0, workers_up=0, restarts=0, row_overruns=0, dropped={})
NO_CLOCK = ClockReport(stamps="kernel", steps=0, samples_dropped=0)


class _Judged(NamedTuple):
    """A verdict and what it rests on. The store makes another window when a figure of it changes."""

    window: Slice
    config: RelayConfig
    active_calls: int
    verdict: SlaVerdict


@dataclass(slots=True)
class StatusView:
    """Reads the parts without changing them."""

    relay: str
    node: str
    config_state: Callable[[], ConfigState]
    lifecycle: Lifecycle
    call_ports: CallPorts
    measurement: Measurement
    clock: ClockFacts
    drain_seconds: Callable[[], float | None]
    findings: Callable[[], tuple[Finding, ...]]
    _judged: _Judged | None = None

    def ready(self) -> Health:
        """Check that ports bind, media processes are up, and no drain runs; Asterisk and the echo play no part."""
        return self._health(self.call_ports.manager.report(), self.findings())

    def _health(self, ports: PortsReport, found: tuple[Finding, ...]) -> Health:
        up, wanted = self.call_ports.supervisor.workers_up(), self.call_ports.supervisor.workers
        problems = (
            "draining: no new calls are taken" if self.lifecycle.draining else None,
            "the ports have not been tried yet" if not self.lifecycle.ports_tried else None,
            f"no port of {ports.range} can be bound" if ports.total <= ports.quarantined else None,
            f"{up} of {wanted} media processes are up" if up < wanted else None,
        )
        findings = tuple(finding.sentence for finding in found)
        return Health(tuple(problem for problem in problems if problem), findings)

    def healthy(self, now_seconds: float) -> Health:
        """Check that the control loop ticks."""
        silent = now_seconds - self.lifecycle.ticked_at_seconds
        if silent > LOOP_STALLED_AFTER_SECONDS:
            return Health((f"the control loop has not run for {silent:.0f} s",))
        return Health()

    def brief(self, now_ns: int, calls: CallsReport, ari: AriReport) -> Report:
        """Read every part except for the figures of the windows. `now_ns` is the measurement's clock."""
        return structs.replace(self.outline(now_ns, ari), calls=calls, media=self._media(), clock=self._clock())

    def outline(self, now_ns: int, ari: AriReport) -> Report:
        """Read the parts that change seldom: calls, media and clock are empty. `now_ns` is the measurement's clock."""
        state = self.config_state()
        ports, findings = self.call_ports.manager.report(), self.findings()
        ready = self._health(ports, findings)
        return Report(
            relay=self.relay,
            node=self.node,
            software_version=rtppool_core.__version__,
            ready=ready.ok,
            not_ready=ready.problems,
            draining=self.lifecycle.draining,
            ports=ports,
            calls=NO_CALLS,
            ari=ari,
            media=NO_MEDIA,
            clock=NO_CLOCK,
            echo=self._echo(),
            sla=self._verdict(now_ns).report,
            windows=Windows(),
            drain_deadline_seconds=self.drain_seconds(),
            pool=state.config.pool,
            applied_generation=state.config.generation,
            config_error=state.error,
            preflight=findings,
        )

    def snapshot(self, now_ns: int, calls: CallsReport, ari: AriReport) -> Snapshot:
        """Read every part, and judge the window of calls. `now_ns` is the measurement's clock."""
        limits = self.config_state().config.sla
        stores = {kind: figures.store for kind, figures in self.measurement.kinds.items()}
        host = host_report(self.measurement.host, stores["calls"], now_ns, limits.window_seconds)
        lead_seconds = round((self.measurement.clock.wall_ns(now_ns) - now_ns) / NS_PER_SECOND)
        reports = {
            kind: window_report(store, now_ns, limits.window_seconds, lead_seconds, judge_host=limits.judge_host)
            for kind, store in stores.items()
        }
        if host is not None:
            host = structs.replace(host, sentence=describe_host(host, reports["calls"]))
        report = structs.replace(
            self.brief(now_ns, calls, ari), windows=Windows(reports["calls"], reports["probe"]), host=host
        )
        windows = {kind: store.window(now_ns, limits.window_seconds)[0] for kind, store in stores.items()}
        return Snapshot(report, limits, self._verdict(now_ns).checks, windows["calls"], windows["probe"])

    def _verdict(self, now_ns: int) -> SlaVerdict:
        config = self.config_state().config
        window = self.measurement.kinds["calls"].store.window(now_ns, config.sla.window_seconds)[0]
        active_calls, judged = self.call_ports.active_calls, self._judged
        if (
            judged is None
            or judged.window is not window
            or judged.config is not config
            or judged.active_calls != active_calls
        ):
            verdict = judge(window, active_calls, config.sla, config.capacity)
            judged = self._judged = _Judged(window, config, active_calls, verdict)
        return judged.verdict

    def _clock(self) -> ClockReport:
        return ClockReport(
            stamps=self.clock.stamps,
            steps=self.measurement.clock.steps,
            slews=self.measurement.clock.slews,
            samples_dropped=self.measurement.flaws.samples_dropped,
            departure_error=self.measurement.departures.report(),
            reason=self.clock.reason,
        )

    def _media(self) -> MediaReport:
        supervisor = self.call_ports.supervisor
        return MediaReport(
            workers=supervisor.workers,
            workers_up=supervisor.workers_up(),
            restarts=supervisor.restarts,
            row_overruns=self.measurement.flaws.row_overruns,
            streams_unjudged=self.measurement.flaws.streams_unjudged,
            real_time=supervisor.real_time(),
            dropped=self.measurement.dropped(),
        )

    def _echo(self) -> EchoReport:
        resolver = self.call_ports.resolver
        conflict = self.call_ports.family_conflict()
        reason = conflict or resolver.reason
        # Without an address no packet goes to the echo, whatever its former address answered.
        reachable = self.measurement.echo.reachable if resolver.address is not None else None
        if conflict is not None:
            reachable = False
        if reason is None and reachable is False:
            reason = f"no packet came back from {resolver.target} within {UNREACHABLE_AFTER_NS / NS_PER_SECOND:g} s"
        if reason is None and reachable is None:
            reason = "nothing was sent to the echo lately"
        return EchoReport(
            host=resolver.target.host,
            port=resolver.target.port,
            resolved_address=host_port(*resolver.address) if resolver.address else None,
            reachable=reachable,
            reason=reason,
        )
