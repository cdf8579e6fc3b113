"""The operator put together: settings in, everything mutable handed on, tasks started, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core import logs
from rtppool_core.http_endpoints import Verdict, listen, make_app
from rtppool_operator.cluster import Cluster, ClusterError, connect
from rtppool_operator.crd import apply_crd
from rtppool_operator.lease import Leadership
from rtppool_operator.metrics import OperatorMetrics
from rtppool_operator.polling import Poller
from rtppool_operator.reconciler import Reconciler
from rtppool_operator.settings import Settings, read_settings

log = logging.getLogger(__name__)

STALLED_AFTER_SECONDS = 60.0
CRD_PAUSE_SECONDS = 2.0


@dataclass(slots=True)
class Running:
    """A started operator."""

    reconciler: Reconciler
    task: asyncio.Task[None]
    http: web.AppRunner

    async def end(self) -> None:
        """Stop, and give the lease up."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.reconciler.close()
        await self.http.cleanup()


async def start(variables: Mapping[str, str]) -> Running:
    """Start from an environment.

    Raises:
        SettingsError: the environment can't be used.
        ListenError: the HTTP port is taken.
        ClusterError: no cluster is configured.
    """
    settings = read_settings(variables)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    # A line for every event of every pool says nothing: what follows from it is logged where it is done.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    cluster = await asyncio.to_thread(connect, settings.namespace)
    await _have_definition(cluster, settings)
    me = f"{settings.namespace}/{settings.pod_name}"
    poller = Poller(settings.relay_token_file)
    reconciler = Reconciler(cluster, poller, Leadership(cluster, me), me)
    http, _ = await listen(_app(reconciler, poller), settings.http_bind, settings.http_port)
    task = asyncio.create_task(reconciler.run())
    task.add_done_callback(_say_why)
    log.info("operator started", extra={"fields": {"namespace": settings.namespace, "http": settings.http_port}})
    return Running(reconciler, task, http)


async def _have_definition(cluster: Cluster, settings: Settings) -> None:
    """Without the definition there is nothing to watch, so the API server is waited for; one line per change."""
    told = None
    while True:
        try:
            await asyncio.to_thread(apply_crd, cluster, settings.crd_file)
        except ClusterError as error:
            if str(error) != told:
                told = str(error)
                log.warning("the definition of RtpPool can't be looked at, trying on: %s", told)
            await asyncio.sleep(CRD_PAUSE_SECONDS)
        else:
            return


def _app(reconciler: Reconciler, poller: Poller) -> web.Application:
    registry = CollectorRegistry()
    registry.register(OperatorMetrics(reconciler, poller))

    def healthy() -> Verdict:
        silent = time.monotonic() - reconciler.looked_at_seconds
        if silent > STALLED_AFTER_SECONDS:
            return Verdict((f"no round was finished for {silent:.0f} s",))
        return Verdict()

    def ready() -> Verdict:
        return Verdict((reconciler.problem,) if reconciler.problem else ())

    return make_app(registry, healthy, ready)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("the operator's task ended", exc_info=fault)
