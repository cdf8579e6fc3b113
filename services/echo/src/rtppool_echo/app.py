"""Composition root of the echo: settings, sockets, processes, HTTP, and an orderly end."""

from __future__ import annotations

import logging
import os
import sys

from prometheus_client import CollectorRegistry

from rtppool_core.net.http_endpoints import Health, listen, make_app
from rtppool_core.net.listeners import ListenError
from rtppool_core.net.udp import BindError, host_port
from rtppool_core.process import logs
from rtppool_core.process.service import Stop
from rtppool_echo.metrics import EchoMetrics
from rtppool_echo.settings import Settings, read_settings
from rtppool_echo.workers.counters import Counters
from rtppool_echo.workers.host_watch import HostWatch
from rtppool_echo.workers.sockets import bind_sockets, close_port
from rtppool_echo.workers.supervisor import WorkerError, WorkerSupervisor

log = logging.getLogger(__name__)


async def serve(stop: Stop) -> None:
    """Run the echo until `stop`.

    Raises:
        SettingsError: the environment can't be used.
        ListenError: the UDP or the HTTP port is taken.
        SystemExit: no reflecting process could be started.
    """
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    try:
        await Echo(settings).run(stop)
    except WorkerError as error:
        raise SystemExit(f"rtp-echo: {error}") from error


class Echo:
    """An echo, whose UDP sockets are bound on construction. `udp_port` and `http_port` are the ports in use.

    Raises:
        ListenError: the UDP port can't be bound.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        try:
            self._sockets = bind_sockets(settings.echo_bind, settings.echo_port, settings.workers)
        except BindError as error:
            raise ListenError(
                f"ECHO_PORT={settings.echo_port}: {error}; accepted are a free port and, as ECHO_BIND, an address of "
                "this machine. Find what holds a port with: ss -lunp"
            ) from error
        self._guard = close_port(self._sockets) if settings.workers > 1 else None
        if settings.workers > 1 and self._guard is None:
            reason = "the port is kept to this echo, and without a guard socket the kernel spreads no senders"
            fields = {"workers": settings.workers, "bind": settings.echo_bind, "reason": reason}
            log.warning("one reflecting process receives all datagrams", extra={"fields": fields})
        self.udp_port = int(self._sockets[0].getsockname()[1])
        self.http_port = 0
        self._counters = Counters(settings.workers)
        self.watch = None
        if settings.host_witnesses:
            self.watch = HostWatch(self._counters.is_asked_from_elsewhere, real_time=settings.real_time)
        heartbeat = None if self.watch is None else self.watch.heartbeat
        self.supervisor = WorkerSupervisor(self._sockets, self._counters, settings, heartbeat)
        # The reason that the echo is not ready, apart from its processes.
        self._not_serving: str | None = "starting"

    async def run(self, stop: Stop) -> None:
        """Answer datagrams until `stop`.

        Raises:
            ListenError: the HTTP port can't be bound.
            WorkerError: no reflecting process could be started.
        """
        registry = CollectorRegistry()
        registry.register(EchoMetrics(self._counters, self._sockets, self.supervisor, self.watch))
        app = make_app(registry, healthy=self.supervisor.health, ready=self._ready)
        try:
            settings = self._settings
            tls = settings.http_tls.context if settings.http_tls else None
            runner, self.http_port = await listen(app, settings.http_bind, settings.http_port, tls)
            try:
                await self.supervisor.start()
                if self.watch is not None:
                    self.watch.start(lambda: self.supervisor.pids)
                stop.begin_serving()
                self._not_serving = None
                self._log_start()
                await stop.asked.wait()
                self._not_serving = "stopping"
                self._log_end()
            finally:
                await runner.cleanup()
        finally:
            await self.supervisor.close()
            if self.watch is not None:
                await self.watch.close()
            self._counters.close()
            if self._guard is not None:
                self._guard.close()

    def _ready(self) -> Health:
        return Health((self._not_serving,)) if self._not_serving else self.supervisor.health()

    def _log_start(self) -> None:
        settings = self._settings
        fields = {
            "echo": host_port(settings.echo_bind, self.udp_port),
            "http": ", ".join(host_port(each, self.http_port) for each in settings.http_bind),
            "workers": settings.workers,
            "dscp": "as received" if settings.dscp is None else settings.dscp,
            "allow": ",".join(map(str, settings.allow)) or "everyone",
            "rate": settings.rate or "no limit",
            "rate_per_address": settings.rate_per_address or "no limit",
            "rtp_only": settings.rtp_only,
        }
        log.info("echo started", extra={"fields": fields})

    def _log_end(self) -> None:
        figures = self._counters.total()
        fields = {"answered": figures.answered_packets, "dropped": sum(figures.dropped.values())}
        log.info("echo stopped", extra={"fields": fields})
