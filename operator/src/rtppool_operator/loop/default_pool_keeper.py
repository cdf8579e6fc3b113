"""Applies the values of the default pool, once for each change of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.writer import Writer
from rtppool_operator.pools.cluster_view import ClusterView
from rtppool_operator.pools.default_pool import DefaultPool

log = logging.getLogger(__name__)

ACTION = "default_pool"
# An administrator has to change the values, the CRD or the rights first.
REFUSED_RETRY_SECONDS = 10.0


class DefaultPoolStore(Protocol):
    """An API server that has the default pool. Every call may raise `ClusterError`."""

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        """Create the pool, or take over the fields of the document."""

    async def record_default_pool(self, name: str) -> None:
        """Record that the pool existed, so that a pool that is not managed is made once."""


class DefaultPoolKeeper:
    """Compares the values with the cluster in each round. `problem` is None without values, and once they apply."""

    def __init__(
        self,
        cluster: DefaultPoolStore,
        writer: Writer,
        values: DefaultPool | None,
        namespace: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._writer = writer
        self._values = values
        self._namespace = namespace
        self._monotonic = monotonic
        self._retry_at_seconds = float("-inf")
        self.problem = f"the default pool {values.name} was not applied yet" if values is not None else None

    async def run_round(self, view: ClusterView) -> bool:
        """Apply the values where they are due; return whether the pool was applied.

        Raises:
            NotLeadingError: another operator may be writing.
        """
        values = self._values
        if values is None or self._monotonic() < self._retry_at_seconds:
            return False
        due = values.is_due(view, self._namespace)
        try:
            if due:
                apply = partial(self._cluster.apply_default_pool, values.document(self._namespace))
                await self._writer.write(ACTION, apply)
            elif view.default_pool != values.name and values.find(view, self._namespace) is not None:
                await self._writer.write(ACTION, partial(self._cluster.record_default_pool, values.name))
        except ClusterError as error:
            self._fail(values, error)
            return False
        self.problem = None
        if due:
            log.info("default pool applied", extra={"fields": {"pool": values.name, "managed": values.managed}})
        return due

    def _fail(self, values: DefaultPool, error: ClusterError) -> None:
        problem = f"the values of the default pool {values.name} can't be applied: {error}"
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
        if error.is_refusal:
            self._retry_at_seconds = self._monotonic() + REFUSED_RETRY_SECONDS
