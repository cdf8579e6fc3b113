"""Puts the relay together: settings in, everything mutable handed on, tasks started, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Coroutine
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.contract.report import Report
from rtppool_core.net.http_endpoints import SHUTDOWN_SECONDS, listen, make_app
from rtppool_core.process import logs
from rtppool_core.process.service import Stop
from rtppool_relay.calls.drain import drain
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.config import ConfigState, RelayConfig, from_environment
from rtppool_relay.figures.clock_steps import WallClock
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.metrics import RelayMetrics
from rtppool_relay.http.routes import make_routes
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.http.status import Lifecycle, StatusView
from rtppool_relay.media.kernel_stamps import examine_kernel_stamps
from rtppool_relay.media.launch import FirstMediaProcess
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_relay.pools_file import PoolWatch
from rtppool_relay.ports.call_ports import CallPorts, address_family
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.ports.preflight_watch import PreflightWatch
from rtppool_relay.ports.probe import Probe
from rtppool_relay.settings import Settings, read_settings
from rtppool_relay.streams.slices import Slice

log = logging.getLogger(__name__)

CLOCK_LOOK_SECONDS = 0.1
PROBE_LOOK_SECONDS = 0.25
FIND_ECHO_SECONDS = 0.5
HAND_OVER_SHUTDOWN_SECONDS = 0.05
TRY_QUARANTINED_EVERY_SECONDS = 5.0


async def serve(stop: Stop, first: FirstMediaProcess | None = None) -> None:
    """Run the relay until it was asked to stop and its calls have ended, or are left to the next one.

    `first` is a media process that is being started already.

    Raises:
        SettingsError: the environment can't be used.
        ListenError: the HTTP port is taken.
    """
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    relay = Relay(settings, first)
    await relay.run(stop)


class Relay:
    """One relay process: its parts, and the order in which they start and stop."""

    def __init__(self, settings: Settings, first: FirstMediaProcess | None = None) -> None:
        self._settings = settings
        self._watch = PoolWatch(settings, ConfigState(from_environment(settings)))
        config = self._watch.state.config
        self._supervisor = MediaSupervisor(settings.media_workers, first, real_time=settings.real_time)
        self._measurement = Measurement(WallClock())
        self._measurement.keep_window(config.sla.window_seconds)
        self._ports = PortManager(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._resolver = EchoResolver(config.echo, address_family(settings.bind_ip, config.advertise_address))
        self._call_ports = CallPorts(
            config=lambda: self._watch.state.config,
            bind_ip=settings.bind_ip,
            dscp=settings.dscp,
            ari_host=urlsplit(settings.ari_url).hostname or "",
            ports=self._ports,
            supervisor=self._supervisor,
            resolver=self._resolver,
            measurement=self._measurement,
            admission=settings.admission,
        )
        self._lifecycle = Lifecycle(ticked_at_seconds=time.monotonic())
        self._telephony = Telephony(settings, self._call_ports)
        clock = examine_kernel_stamps()
        self._preflight = PreflightWatch(
            lambda: self._watch.state.config,
            self._call_ports,
            clock.reason,
            real_time_expected=settings.real_time_expected,
            in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
        )
        self._status = StatusView(
            relay=os.uname().nodename,
            node=settings.node_name,
            state_of_config=lambda: self._watch.state,
            lifecycle=self._lifecycle,
            call_ports=self._call_ports,
            measurement=self._measurement,
            clock=clock,
            drain_seconds=self._drain_seconds,
            findings=lambda: self._preflight.findings,
        )

    async def run(self, stop: Stop) -> None:
        """Serve, then drain, or hand over."""
        # While a request is answered at the end of a hand-over, calls wait for the next relay.
        shutdown_seconds = HAND_OVER_SHUTDOWN_SECONDS if self._settings.on_stop == "handover" else SHUTDOWN_SECONDS
        runner, _ = await listen(
            self._http_app(), self._settings.http_bind, self._settings.http_port, shutdown_seconds=shutdown_seconds
        )
        try:
            await asyncio.gather(self._supervisor.start(), self._find_echo())
            self._supervisor.yield_to_media()
            self._announce()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in self._jobs()]
                listening = group.create_task(self._telephony.run())
                await stop.asked.wait()
                self._lifecycle.draining = True
                deadline_seconds = self._drain_seconds()
                if deadline_seconds is None:
                    await self._leave_calls(listening)
                else:
                    await drain(self._telephony, deadline_seconds, stop.urgent)
                for task in (*tasks, listening):
                    task.cancel()
        finally:
            await self._telephony.close()
            await self._supervisor.close()
            await runner.cleanup()

    def _jobs(self) -> list[Coroutine[None, None, None]]:
        probe = Probe(self._call_ports, lambda: self._watch.state.config)
        return [
            self._try_range(),
            self._call_ports.own_address.run(self._call_ports.follow_config),
            self._resolver.run(self._call_ports.aim_at_echo),
            self._watch.run(self._apply),
            self._tick(),
            self._look_at_clocks(),
            self._look_at_probe(),
            self._try_quarantined(),
            probe.run(),
        ]

    async def _find_echo(self) -> None:
        """Calls that wait for their adoption should wait for nothing else; nor should they for a slow name server."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIND_ECHO_SECONDS):
                await self._resolver.resolve()

    async def _leave_calls(self, listening: asyncio.Task[None]) -> None:
        """Go without touching the calls: the next relay on this node adopts them.

        First of all nobody listens any more: callers who come from now on stay in the dialplan or wait in the
        application, where the next relay finds them. Packets flow until the ports are closed, right after.
        """
        listening.cancel()
        await asyncio.wait({listening})
        await self._telephony.leave_word()
        log.info("calls are left to the next relay", extra={"fields": {"calls": self._telephony.active_calls}})

    def _http_app(self) -> web.Application:
        registry = CollectorRegistry()
        registry.register(RelayMetrics(self._report, self._measurement, self._window))
        return make_app(
            registry,
            healthy=lambda: self._status.healthy(time.monotonic()),
            ready=self._status.ready,
            routes=make_routes(self._snapshot, self._telephony.live_calls, self._telephony.recent_calls),
            token_file=self._settings.http_token_file,
        )

    def _snapshot(self) -> Snapshot:
        return self._status.snapshot(time.time_ns(), self._telephony.calls_report(), self._telephony.ari_report())

    def _report(self) -> Report:
        return self._snapshot().report

    def _window(self) -> Slice:
        seconds = self._watch.state.config.sla.window_seconds
        return self._measurement.kinds["calls"].store.window(time.time_ns(), seconds)[0]

    async def _apply(self) -> None:
        """Put a changed configuration in force; live calls keep their ports."""
        config = self._watch.state.config
        before = self._ports.range
        self._ports.resize(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._measurement.keep_window(config.sla.window_seconds)
        self._call_ports.follow_config()
        if before != config.port_range:
            await self._try_range()

    async def _try_range(self) -> None:
        await self._call_ports.try_ports(self._ports.unleased())
        self._preflight.look()
        self._lifecycle.ports_tried = True

    async def _try_quarantined(self) -> None:
        """A port whose holder has gone is taken back."""
        while True:
            await asyncio.sleep(TRY_QUARANTINED_EVERY_SECONDS)
            await self._call_ports.try_ports(self._ports.quarantined())
            self._preflight.look()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._settings.metrics_interval_seconds)
            self._measurement.tick(time.time_ns(), time.monotonic_ns())
            self._call_ports.weigh_load()
            self._telephony.look_at_media()
            self._lifecycle.ticked_at_seconds = time.monotonic()

    async def _look_at_probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_LOOK_SECONDS)
            self._measurement.look_at_probe(time.time_ns(), time.monotonic_ns())

    async def _look_at_clocks(self) -> None:
        while True:
            self._measurement.look_at_clocks(time.time_ns(), time.monotonic_ns())
            await asyncio.sleep(CLOCK_LOOK_SECONDS)

    def _drain_seconds(self) -> float | None:
        """None: calls are handed over."""
        if self._settings.on_stop == "handover":
            return None
        return min(self._watch.state.config.drain.timeout_seconds, self._settings.drain_grace_seconds)

    def _announce(self) -> None:
        config: RelayConfig = self._watch.state.config
        fields = {
            "range": str(config.port_range),
            "echo": str(config.echo),
            "pool": config.pool.name if config.pool else "none",
            "http": f"{self._settings.http_bind}:{self._settings.http_port}",
            "stamps": self._status.clock.stamps,
            "ari": self._settings.ari_url if self._settings.ari_user else "not configured",
        }
        log.info("relay started", extra={"fields": fields})
