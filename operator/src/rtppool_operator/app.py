"""The composition root: builds the operator from its settings, starts its tasks, and stops them in order."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from rtppool_core.net.http_endpoints import OPEN_PATHS, Health, health_handler, listen, make_app
from rtppool_core.pages.static_files import StaticFiles, page_response
from rtppool_core.process import logs
from rtppool_operator.kube.api_server import ApiServer, connect
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.crd import DefinitionKeeper, read_definition
from rtppool_operator.kube.kopf_watch import KopfWatch
from rtppool_operator.kube.lease import Leadership, Leases
from rtppool_operator.loop.metrics import OperatorMetrics
from rtppool_operator.loop.reconciler import Reconciler
from rtppool_operator.page.page import PACKAGE, PoolsPage
from rtppool_operator.relays.polling import Poller
from rtppool_operator.settings import Settings, read_settings

log = logging.getLogger(__name__)

STALLED_AFTER_SECONDS = 60.0


class App:
    """The operator. Under `kopf run` it has no `watch`, because kopf runs outside of it."""

    def __init__(self, api: ApiServer, definition: Mapping[str, Any], settings: Settings) -> None:
        policy = settings.policy
        self._api = api
        self._identity = f"{policy.namespace}/{settings.pod_name}"
        self._poller = Poller(settings.relay_token, settings.relay_authority)
        self._cluster = Cluster(
            api, definition, policy, settings.relay_selector, lambda *, soon=False: self.reconciler.wake(soon=soon)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._http: web.AppRunner | None = None
        self.reconciler = Reconciler(
            self._cluster,
            self._poller,
            Leadership(Leases(api), self._identity),
            policy,
            default_pool=settings.default_pool,
        )
        self.definition = DefinitionKeeper(api, definition, applies=settings.applies_crd)
        self.take_pool = self._cluster.take_pool
        self.watch: KopfWatch | None = None
        self.http_port = settings.http_port
        self._page = PoolsPage("http" if settings.relay_authority is None else "https")
        # The token of the relays, whose figures the page repeats.
        self._page_token = settings.relay_token.value if settings.relay_token is not None else None

    async def start(
        self, addresses: str | Sequence[str], port: int, tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        """Serve HTTP first, so that /ready can report problems of the start. Then start the loops.

        Raises:
            ListenError: the HTTP port is taken.
        """
        self._http, self.http_port = await listen(self._web_app(), addresses, port, tls)
        self._start_task(self.definition.run())
        self._start_task(self._cluster.run(self.reconciler.jobs, self.definition.served))
        self._start_task(self.reconciler.run())

    def watch_pools(self, keep_signals: Callable[[], None]) -> None:
        """Start kopf as soon as pools are served. It takes signals at its start, and `keep_signals` takes them back."""
        self.watch = KopfWatch(self.take_pool, self._identity, keep_signals)
        self._start_task(self._watch_when_served(self.watch))

    async def stop(self) -> None:
        """Stop all tasks and release the lease."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.reconciler.close()
        await self._api.close()
        if self._http is not None:
            await self._http.cleanup()

    async def _watch_when_served(self, watch: KopfWatch) -> None:
        # kopf discovers resources once, at its start, so the CRD must be served before.
        await self.definition.served.wait()
        await self.reconciler.jobs.keep_running("kopf", watch.run)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_failure)
        self._tasks.append(task)

    def _web_app(self) -> web.Application:
        registry = CollectorRegistry()
        elsewhere: dict[str, Callable[[], int]] = {
            "api_throttled": lambda: self._api.throttled,
            "resync_corrections": lambda: self._cluster.corrections,
            "watch_restarts": lambda: self.watch.restarts if self.watch is not None else 0,
            "definition_outdated": lambda: self.definition.problem is not None,
        }
        registry.register(OperatorMetrics(self.reconciler, self._poller, elsewhere))

        async def page(_request: web.Request) -> web.StreamResponse:
            return page_response(self._page.render(self.reconciler.views, self.reconciler.problems))

        def health() -> Health:
            silent = self.reconciler.stalled_seconds()
            stalled = silent > STALLED_AFTER_SECONDS
            return Health((f"no round has finished for {silent:.0f} s",) if stalled else ())

        return make_app(
            registry,
            health,
            self._ready,
            # The liveness probe of the chart of version 0.1.0, which may run a newer image.
            {"/healthz": health_handler("healthy", health), "/": page, **StaticFiles([PACKAGE]).routes()},
            self._page_token,
            open_paths=OPEN_PATHS | {"/metrics"},
        )

    def _ready(self) -> Health:
        """Return ready for an operator that stands by for a replica: a rollout and an eviction wait for it.

        It has what it needs to take over: current watches.
        """
        missing = self.definition.problem if not self.definition.served.is_set() else None
        problems = (self._cluster.problem,) if self.reconciler.stands_by else self.reconciler.problems
        return Health(tuple(each for each in (missing, *problems) if each is not None))


async def start(variables: Mapping[str, str]) -> App:
    """Start the operator from its environment.

    Raises:
        SettingsError: a setting or the CRD file is invalid.
        ListenError: the HTTP port is taken.
        ClusterError: no cluster is configured.
    """
    settings = read_settings(variables)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    # kopf logs a line for every event of every pool. The operator logs the changes that it makes.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # kopf warns of each task that is cancelled. The operator stops it.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    definition = read_definition(settings.crd_file)
    app = App(await connect(), definition, settings)
    tls = settings.http_tls.context if settings.http_tls else None
    await app.start(settings.http_bind, settings.http_port, tls)
    log.info("operator started", extra={"fields": {"namespace": settings.policy.namespace, "http": settings.http_port}})
    return app


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("a task of the operator ended", exc_info=fault)
