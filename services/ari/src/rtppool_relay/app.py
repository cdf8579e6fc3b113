"""The composition root: the relay's parts, their jobs, and the order in which they start and end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import sys
import time
from collections.abc import Coroutine
from functools import partial
from socket import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Finding
from rtppool_core.host.heartbeat import Heartbeat, watched_processors
from rtppool_core.host.witnesses import KernelCounters
from rtppool_core.net.listeners import PortTakenError, open_listeners
from rtppool_core.net.udp import family_of, host_port
from rtppool_core.process import logs
from rtppool_core.process.heap import RELEASE_SECONDS, release_free_pages
from rtppool_core.process.node_turn import NodeTurn
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.service import Stop
from rtppool_relay.calls.drain import drain
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.config import ConfigState, RelayConfig, from_environment
from rtppool_relay.figures.host_findings import find_host_time
from rtppool_relay.figures.host_watch import READ_SECONDS, HostWatch
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.lifecycle import Lifecycle
from rtppool_relay.media.clock_readings import read_clocks
from rtppool_relay.media.kernel_stamps import examine_kernel_stamps
from rtppool_relay.media.launch import HEARTBEAT, FirstMediaProcess
from rtppool_relay.media.sizes import media_processes_for
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_relay.pools_file import CHECK_SECONDS, PoolsFileWatcher
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.packet_check import PacketChecks
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.ports.preflight_watch import PreflightWatch
from rtppool_relay.ports.probe import Probe
from rtppool_relay.settings import Settings, read_settings
from rtppool_relay.streams.slices import MAX_COLLECT_SECONDS
from rtppool_relay.streams.stalls import StallSource
from rtppool_relay.streams.steady_clock import SteadyClock

if TYPE_CHECKING:
    # Loaded after the calls of a former relay are adopted (`_answer_http`).
    from rtppool_relay.http.service import HttpService

log = logging.getLogger(__name__)

COMPARE_CLOCKS_SECONDS = 0.1
# The jobs run together with the comparison of clocks: each wake-up of this process costs.
TOGETHER_SECONDS = COMPARE_CLOCKS_SECONDS
COLLECT_PROBE_SECONDS = 0.3
# Of all pauses between portions of a collection, which is repeated every second.
MAX_PAUSES_SECONDS = 0.4
REFRESH_CREDENTIALS_SECONDS = 5.0
TRY_PORTS_SECONDS = 2.0
CHECK_HOST_SECONDS = 5.0
MAX_RESOLVE_SECONDS = 0.5
MAX_ADOPT_SECONDS = 1.5
RETRY_PORT_SECONDS = 0.05
FORMER_ENDS_SECONDS = 0.5
TRY_PORTS = "trying the ports"
HTTP_MODULE = "rtppool_relay.http.service"


async def serve(stop: Stop, first: FirstMediaProcess | None = None) -> None:
    """Run the relay until it is stopped, and its calls have ended or are left to the next relay.

    With `NODE_TURN`, it stands by until the former relay on the node has left. `first` is a media process that has
    been started already.

    Raises:
        SettingsError: the environment has settings that are not accepted.
        ListenError: the HTTP port is taken.
    """
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    if not settings.node_turn:
        await Relay(settings, first).run(stop)
        return
    turn = NodeTurn(settings.node_turn, _probed_at(settings))
    await turn.take(stop.request)
    try:
        # Made in its turn, because it reads its configuration, which may change while it stands by.
        await Relay(settings, first).run(stop)
    finally:
        turn.release()


def _probed_at(settings: Settings) -> str:
    """Return the scheme and the port of probes, which differ where the former relay can't answer those of the next."""
    return f"{'http' if settings.http_tls is None else 'https'} {settings.http_port}"


class Relay:
    """One relay process."""

    def __init__(self, settings: Settings, first: FirstMediaProcess | None = None) -> None:
        self._settings = settings
        self._jobs = PeriodicJobs(together_seconds=TOGETHER_SECONDS)
        self._tried_range: PortRange | None = None
        self._hands_over = False
        self._pools_file = PoolsFileWatcher(settings, ConfigState(from_environment(settings)))
        config = self._config()
        self._media_processes = settings.media_workers or media_processes_for(
            len(settings.port_range), len(os.sched_getaffinity(0))
        )
        self._supervisor = MediaSupervisor(self._media_processes, first, self._jobs, real_time=settings.real_time)
        self._measurement = Measurement(SteadyClock(), self._stalls)
        self._measurement.keep_window(config.sla.window_seconds)
        # A heartbeat that is not started costs nothing.
        self._heartbeat = Heartbeat(watched_processors(), real_time=settings.real_time, module=HEARTBEAT)
        self._host_watch = HostWatch(
            self._measurement.host, lambda: self._supervisor.pids, KernelCounters(), self._heartbeat
        )
        self._ports = PortManager(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._resolver = EchoResolver(config.echo, family_of(settings.bind_ip), settings.node_echo)
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
        self._probe = Probe(self._call_ports, self._config)
        self._checks = PacketChecks(settings.node_name, self._probe, self._resolver, settings.node_echo_target)
        self._lifecycle = Lifecycle(ticked_at_seconds=time.monotonic())
        self._telephony = Telephony(settings, self._call_ports, self._call_ports.observe_address, self._jobs)
        self._http: HttpService | None = None
        self._clock = examine_kernel_stamps()
        self._preflight = PreflightWatch(
            self._config,
            self._call_ports,
            self._clock.reason,
            real_time_expected=settings.real_time_expected,
            in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
            host_findings=lambda: find_host_time(self._measurement.host),
        )

    async def run(self, stop: Stop) -> None:
        """Serve until `stop`, then drain the calls or hand them over."""
        # Connections wait in these sockets until HTTP is loaded. A port that is taken ends the start here.
        listeners = await self._open_listeners()
        try:
            await asyncio.gather(self._supervisor.start(), self._jobs.attempt("resolving the echo", self._resolve_echo))
            stop.begin_serving()
            self._log_start()
            async with asyncio.TaskGroup() as group:
                telephony = group.create_task(self._jobs.keep_running("calls of Asterisk", self._telephony.run))
                tasks = [group.create_task(job) for job in self._periodic_jobs()]
                tasks.append(group.create_task(self._after_adoption(listeners)))
                await stop.asked.wait()
                self._lifecycle.draining = True
                self._compare_report()
                deadline_seconds = self._drain_seconds()
                if deadline_seconds is None:
                    self._hands_over = True
                    await self._leave_calls(telephony)
                else:
                    await drain(self._telephony, deadline_seconds, stop.urgent)
                for task in (*tasks, telephony):
                    task.cancel()
        finally:
            try:
                await self._close_http(listeners)
            finally:
                await self._close_ports()

    async def _open_listeners(self) -> list[socket]:
        """Open the HTTP port. Wait for a former relay of a version without turns, whose pod ends after this start."""
        settings = self._settings
        said = False
        while True:
            try:
                listeners = open_listeners(settings.http_bind, settings.http_port)
            except PortTakenError as error:
                if not settings.node_turn or settings.on_stop != "handover":
                    raise
                if not said:
                    log.warning("standing by until the HTTP port is free: %s", error)
                    said = True
                await asyncio.sleep(RETRY_PORT_SECONDS)
                continue
            if said:
                # That relay closes the ports of its calls after its HTTP.
                await asyncio.sleep(FORMER_ENDS_SECONDS)
            return listeners

    async def _after_adoption(self, listeners: list[socket]) -> None:
        """Load and start the parts that no call waits for.

        Calls of a former relay are silent until they are adopted. Until then this process does nothing else.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_ADOPT_SECONDS):
                await self._telephony.wait_for_adoptions()
        await self._jobs.attempt("yielding to packets", self._yield_to_packets)
        await self._jobs.keep_running("answering HTTP", lambda: self._answer_http(listeners))

    async def _answer_http(self, listeners: list[socket]) -> None:
        # In a thread, because new calls arrive already: on a busy node a first call waited a second for these modules.
        await asyncio.to_thread(importlib.import_module, HTTP_MODULE)
        http = self._make_http()
        await http.start(listeners)
        self._http = http
        await http.run(self._jobs)

    def _make_http(self) -> HttpService:
        # Loaded by `_answer_http`: its import would be a fifth of a start.
        from rtppool_relay.http.service import HttpService, RelayParts  # noqa: PLC0415

        return HttpService(
            RelayParts(
                settings=self._settings,
                config_state=lambda: self._pools_file.state,
                lifecycle=self._lifecycle,
                call_ports=self._call_ports,
                measurement=self._measurement,
                telephony=self._telephony,
                clock=self._clock,
                steady_ns=self._compare_clocks,
                drain_seconds=self._drain_seconds,
                findings=self._findings,
                job_failures=self._jobs.failures,
                check_packets=self._checks.run,
            )
        )

    async def _close_http(self, listeners: list[socket]) -> None:
        if self._http is not None:
            await self._http.close()
        for listener in listeners:
            listener.close()

    async def _yield_to_packets(self) -> None:
        """Start the standby and the heartbeat, and become nicer than the media processes."""
        await self._supervisor.start_standby()
        if self._settings.host_witnesses:
            await self._heartbeat.start()
        self._supervisor.yield_to_media()

    def _periodic_jobs(self) -> tuple[Coroutine[None, None, None], ...]:
        repeat, keep_running = self._jobs.repeat, self._jobs.keep_running
        ports = self._call_ports
        collect_seconds = min(self._settings.metrics_interval_seconds, MAX_COLLECT_SECONDS)
        return (
            repeat(TRY_PORTS, TRY_PORTS_SECONDS, self._try_ports),
            repeat("checking the host", CHECK_HOST_SECONDS, self._preflight.check),
            repeat("reading pools.json", CHECK_SECONDS, lambda: self._pools_file.check(self._apply_config)),
            repeat("collecting figures", collect_seconds, self._collect_figures),
            repeat("admission", self._settings.metrics_interval_seconds, ports.evaluate_admission),
            repeat("checking the echo", self._settings.metrics_interval_seconds, ports.check_echo),
            repeat("checking Asterisk's source", self._settings.metrics_interval_seconds, ports.check_source),
            repeat("checking the sound", self._settings.metrics_interval_seconds, self._telephony.check_sound),
            repeat("the loop's sign of life", self._settings.metrics_interval_seconds, self._tick),
            repeat("reading credentials", REFRESH_CREDENTIALS_SECONDS, self._telephony.refresh_credentials),
            *((repeat("reading host time", READ_SECONDS, self._read_host),) if self._settings.host_witnesses else ()),
            repeat("comparing clocks", COMPARE_CLOCKS_SECONDS, self._compare_clocks),
            repeat("collecting the probe", COLLECT_PROBE_SECONDS, self._collect_probe),
            repeat("releasing free memory", RELEASE_SECONDS, release_free_pages),
            keep_running("finding the own address", lambda: ports.own_address.run(ports.apply_config)),
            keep_running("resolving the echo", lambda: self._resolver.run(ports.move_to_echo)),
            keep_running("the probe", self._probe.run),
        )

    def _config(self) -> RelayConfig:
        return self._pools_file.state.config

    def _findings(self) -> tuple[Finding, ...]:
        """Return the findings of host and Asterisk, and one for each job that fails at present."""
        failing = tuple(Finding("JobFailed", problem) for problem in self._jobs.problems())
        return (*self._preflight.findings, *self._telephony.findings(), *failing)

    async def _resolve_echo(self) -> None:
        """Resolve the echo's name before calls are adopted; a slow name server must not delay them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_RESOLVE_SECONDS):
                await self._resolver.resolve()

    async def _apply_config(self) -> None:
        """Apply a changed configuration. Live calls keep their ports."""
        config = self._config()
        self._ports.resize(config.port_range, config.excluded_ports, config.reuse_delay_seconds)
        self._measurement.keep_window(config.sla.window_seconds)
        self._call_ports.apply_config()
        self._compare_report()
        if self._tried_range != config.port_range:
            await self._jobs.attempt(TRY_PORTS, self._try_ports)

    async def _try_ports(self) -> None:
        """Try all ports of a new range, later the quarantined ones, whose other holder may have gone."""
        ports = self._ports.range
        is_new = ports != self._tried_range
        tried = self._ports.unleased() if is_new else self._ports.quarantined()
        await self._call_ports.try_ports(tried)
        self._tried_range, self._lifecycle.ports_tried = ports, True
        if tried:
            self._preflight.check()

    async def _collect_figures(self) -> None:
        """Collect in portions. After each, packets that waited have the processors for as long as it took."""
        loop, measurement = asyncio.get_running_loop(), self._measurement
        portions = list(measurement.portions())
        for portion in portions:
            began = loop.time()
            measurement.collect_portion(portion, self._compare_clocks())
            if portion is not portions[-1]:
                await asyncio.sleep(min(loop.time() - began, MAX_PAUSES_SECONDS / len(portions)))
        measurement.judge_echo(time.monotonic_ns())
        if self._http is not None:
            now_ns = self._compare_clocks()
            await self._jobs.attempt("publishing live figures", partial(self._http.publish_figures, now_ns))

    def _compare_report(self) -> None:
        if self._http is not None:
            self._http.compare_report()

    def _stalls(self) -> StallSource:
        return self._host_watch.stalls(self._measurement.clock.steady_ns)

    def _read_host(self) -> None:
        self._host_watch.read(self._compare_clocks())

    def _tick(self) -> None:
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

    async def _leave_calls(self, telephony: asyncio.Task[None]) -> None:
        """Leave the calls as they are for the next relay on this node, which adopts them.

        Events of Asterisk stop first: a caller who arrives now stays in the dialplan or waits in the application,
        where the next relay finds the caller. Packets flow until the ports close, after all else has ended.
        """
        telephony.cancel()
        await asyncio.wait({telephony})
        await self._telephony.wait_until_unregistered()
        log.info("calls are left to the next relay", extra={"fields": {"calls": self._telephony.active_calls}})

    async def _close_ports(self) -> None:
        """End the calls' ports and all processes. The time of departure is that of the last packets."""
        if self._hands_over:
            await self._telephony.publish_departure()
        await self._telephony.close()
        # After the last figures, which need it: a heartbeat that has ended would be a stall.
        await asyncio.gather(self._heartbeat.close(), self._supervisor.close())

    def _log_start(self) -> None:
        config = self._config()
        fields = {
            "range": str(config.port_range),
            "echo": str(config.echo),
            "mediaProcesses": self._media_processes,
            "pool": config.pool.name if config.pool else "none",
            "http": ", ".join(host_port(each, self._settings.http_port) for each in self._settings.http_bind),
            "stamps": self._clock.stamps,
            "ari": self._settings.ari_url if self._settings.ari_user else "not configured",
        }
        log.info("relay started", extra={"fields": fields})
