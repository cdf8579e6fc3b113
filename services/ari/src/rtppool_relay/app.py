"""The composition root: the relay's parts, their jobs, and the order in which they start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.net.http_endpoints import SHUTDOWN_SECONDS, listen, make_app
from rtppool_core.net.udp import family_of, host_port
from rtppool_core.process import logs
from rtppool_core.process.secret_file import SecretFile
from rtppool_core.process.service import Stop
from rtppool_relay.calls.drain import drain
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.config import ConfigState, RelayConfig, from_environment
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.metrics import RelayMetrics
from rtppool_relay.http.routes import make_routes
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.http.status import Lifecycle, StatusView
from rtppool_relay.media.clock_readings import read_clocks
from rtppool_relay.media.kernel_stamps import examine_kernel_stamps
from rtppool_relay.media.launch import FirstMediaProcess
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_relay.pools_file import PoolsFileWatcher
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.ports.preflight_watch import PreflightWatch
from rtppool_relay.ports.probe import Probe
from rtppool_relay.settings import Settings, read_settings
from rtppool_relay.streams.steady_clock import SteadyClock

log = logging.getLogger(__name__)

COMPARE_CLOCKS_SECONDS = 0.1
COLLECT_PROBE_SECONDS = 0.25
RETRY_QUARANTINED_SECONDS = 5.0
REFRESH_CREDENTIALS_SECONDS = 5.0
MAX_RESOLVE_SECONDS = 0.5
HAND_OVER_SHUTDOWN_SECONDS = 0.05


async def serve(stop: Stop, first: FirstMediaProcess | None = None) -> None:
    """Run the relay until it is stopped, and its calls have ended or are left to the next relay.

    `first` is a media process that has been started already.

    Raises:
        SettingsError: the environment has settings that are not accepted.
        ListenError: the HTTP port is taken.
    """
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    await Relay(settings, first).run(stop)


async def repeat(interval_seconds: float, job: Callable[[], object]) -> None:
    """Run a job now and after every interval."""
    while True:
        job()
        await asyncio.sleep(interval_seconds)


class Relay:
    """One relay process."""

    def __init__(self, settings: Settings, first: FirstMediaProcess | None = None) -> None:
        self._settings = settings
        self._pools_file = PoolsFileWatcher(settings, ConfigState(from_environment(settings)))
        config = self._config()
        self._supervisor = MediaSupervisor(settings.media_workers, first, real_time=settings.real_time)
        self._measurement = Measurement(SteadyClock())
        self._measurement.keep_window(config.sla.window_seconds)
        self._ports = PortManager(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._resolver = EchoResolver(config.echo, family_of(settings.bind_ip))
        self._call_ports = CallPorts(
            config=self._config,
            bind_ip=settings.bind_ip,
            dscp=settings.dscp,
            ari_host=urlsplit(settings.ari_url).hostname or "",
            manager=self._ports,
            supervisor=self._supervisor,
            resolver=self._resolver,
            measurement=self._measurement,
            admission=settings.admission,
            steady_ns=self._compare_clocks,
        )
        self._lifecycle = Lifecycle(ticked_at_seconds=time.monotonic())
        self._telephony = Telephony(settings, self._call_ports, self._call_ports.observe_address)
        clock = examine_kernel_stamps()
        self._preflight = PreflightWatch(
            self._config,
            self._call_ports,
            clock.reason,
            real_time_expected=settings.real_time_expected,
            in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
        )
        self._status = StatusView(
            relay=os.uname().nodename,
            node=settings.node_name,
            config_state=lambda: self._pools_file.state,
            lifecycle=self._lifecycle,
            call_ports=self._call_ports,
            measurement=self._measurement,
            clock=clock,
            drain_seconds=self._drain_seconds,
            findings=lambda: self._preflight.findings,
        )

    async def run(self, stop: Stop) -> None:
        """Serve until `stop`, then drain the calls or hand them over."""
        # During a hand-over calls wait for the next relay, so an open HTTP request must not delay the end.
        shutdown_seconds = HAND_OVER_SHUTDOWN_SECONDS if self._settings.on_stop == "handover" else SHUTDOWN_SECONDS
        runner, _ = await listen(
            self._http_app(), self._settings.http_bind, self._settings.http_port, shutdown_seconds=shutdown_seconds
        )
        try:
            await asyncio.gather(self._supervisor.start(), self._resolve_echo())
            self._supervisor.yield_to_media()
            stop.begin_serving()
            self._log_start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(job) for job in self._jobs()]
                telephony = group.create_task(self._telephony.run())
                await stop.asked.wait()
                self._lifecycle.draining = True
                deadline_seconds = self._drain_seconds()
                if deadline_seconds is None:
                    await self._hand_over(telephony)
                else:
                    await drain(self._telephony, deadline_seconds, stop.urgent)
                for task in (*tasks, telephony):
                    task.cancel()
        finally:
            await self._telephony.close()
            await self._supervisor.close()
            await runner.cleanup()

    def _jobs(self) -> tuple[Coroutine[None, None, None], ...]:
        return (
            self._try_range(),
            self._call_ports.own_address.run(self._call_ports.apply_config),
            self._resolver.run(self._call_ports.move_to_echo),
            self._pools_file.run(self._apply_config),
            repeat(self._settings.metrics_interval_seconds, self._collect_figures),
            repeat(COMPARE_CLOCKS_SECONDS, self._compare_clocks),
            repeat(COLLECT_PROBE_SECONDS, self._collect_probe),
            self._retry_quarantined(),
            repeat(REFRESH_CREDENTIALS_SECONDS, self._telephony.refresh_credentials),
            Probe(self._call_ports, self._config).run(),
        )

    def _http_app(self) -> web.Application:
        token_file = self._settings.http_token_file
        registry = CollectorRegistry()
        registry.register(RelayMetrics(self._snapshot, self._measurement))
        return make_app(
            registry,
            healthy=lambda: self._status.healthy(time.monotonic()),
            ready=self._status.ready,
            routes=make_routes(self._snapshot, self._telephony.iterate_calls, self._telephony.recent_calls),
            token=SecretFile("HTTP_TOKEN_FILE", token_file).value if token_file else None,
        )

    def _config(self) -> RelayConfig:
        return self._pools_file.state.config

    def _snapshot(self) -> Snapshot:
        return self._status.snapshot(
            self._compare_clocks(), self._telephony.calls_report(), self._telephony.ari_report()
        )

    async def _resolve_echo(self) -> None:
        """Resolve the echo's name before calls are adopted; a slow name server must not delay them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_RESOLVE_SECONDS):
                await self._resolver.resolve()

    async def _apply_config(self) -> None:
        """Apply a changed configuration. Live calls keep their ports."""
        config = self._config()
        before = self._ports.range
        self._ports.resize(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._measurement.keep_window(config.sla.window_seconds)
        self._call_ports.apply_config()
        if before != config.port_range:
            await self._try_range()

    async def _try_range(self) -> None:
        await self._call_ports.try_ports(self._ports.unleased())
        self._preflight.check()
        self._lifecycle.ports_tried = True

    async def _retry_quarantined(self) -> None:
        """Restore ports whose other holder has gone."""
        while True:
            await asyncio.sleep(RETRY_QUARANTINED_SECONDS)
            await self._call_ports.try_ports(self._ports.quarantined())
            self._preflight.check()

    def _collect_figures(self) -> None:
        self._measurement.tick(self._compare_clocks(), time.monotonic_ns())
        self._call_ports.evaluate_admission()
        self._call_ports.check_echo()
        self._telephony.check_sound()
        self._lifecycle.ticked_at_seconds = time.monotonic()

    def _collect_probe(self) -> None:
        self._measurement.collect_probe(self._compare_clocks(), time.monotonic_ns())

    def _compare_clocks(self) -> int:
        """Return the steady time. Rows are read after the comparison, so that it knows of every step in them."""
        return self._measurement.compare_clocks(read_clocks())

    def _drain_seconds(self) -> float | None:
        """Return how long live calls may go on after a stop; None where they are handed over."""
        if self._settings.on_stop == "handover":
            return None
        return min(self._config().drain.timeout_seconds, self._settings.drain_grace_seconds)

    async def _hand_over(self, telephony: asyncio.Task[None]) -> None:
        """Leave the calls as they are for the next relay on this node, which adopts them.

        Events of Asterisk stop first: a caller who arrives now stays in the dialplan or waits in the application,
        where the next relay finds the caller. Packets flow until the ports close, right afterwards.
        """
        telephony.cancel()
        await asyncio.wait({telephony})
        await self._telephony.publish_departure()
        log.info("calls are left to the next relay", extra={"fields": {"calls": self._telephony.active_calls}})

    def _log_start(self) -> None:
        config = self._config()
        fields = {
            "range": str(config.port_range),
            "echo": str(config.echo),
            "pool": config.pool.name if config.pool else "none",
            "http": host_port(self._settings.http_bind, self._settings.http_port),
            "stamps": self._status.clock.stamps,
            "ari": self._settings.ari_url if self._settings.ari_user else "not configured",
        }
        log.info("relay started", extra={"fields": fields})
