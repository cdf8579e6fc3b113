"""Has the definition of RtpPool in the cluster, for as long as the operator runs, without anything waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from rtppool_operator.kube.cluster import ClusterError
from rtppool_operator.kube.crd import DefinitionStore, apply_crd, is_served

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
# While the standing definition serves: somebody has to grant or repair something by hand first.
SLOW_RETRY_SECONDS = 60.0
APPLIED, READ = "applied", "looked at"


class DefinitionKeeper:
    """`served` is set once pools can be watched; `problem` says why ours is not in force, while another one serves."""

    def __init__(self, store: DefinitionStore, ours: Mapping[str, Any]) -> None:
        self._store = store
        self._ours = ours
        self.served = asyncio.Event()
        # By what can't be done: each is said once, however they take turns.
        self._problems = {APPLIED: "the definition of RtpPool was not looked at yet"}

    @property
    def problem(self) -> str | None:
        """A sentence while something can't be done."""
        return next(iter(self._problems.values()), None)

    async def run(self) -> None:
        """Apply ours where it is newer, until that is done and pools are served."""
        applied = False
        while not (applied and self.served.is_set()):
            applied = applied or await self._applied()
            if not self.served.is_set() and await self._tried(READ, lambda: is_served(self._store)):
                self.served.set()
                log.info("pools are served")
            done = applied and self.served.is_set()
            if not done:
                await asyncio.sleep(SLOW_RETRY_SECONDS if self.served.is_set() else RETRY_SECONDS)

    async def _applied(self) -> bool:
        def apply() -> bool:
            apply_crd(self._store, self._ours)
            return True

        return await self._tried(APPLIED, apply)

    async def _tried(self, what: str, call: Callable[[], bool]) -> bool:
        try:
            done = await asyncio.to_thread(call)
        except ClusterError as error:
            problem = f"the definition of RtpPool can't be {what}, so a new field may be missing: {error}"
            if problem != self._problems.get(what):
                log.warning("%s", problem)
                self._problems[what] = problem
            return False
        self._problems.pop(what, None)
        return done
