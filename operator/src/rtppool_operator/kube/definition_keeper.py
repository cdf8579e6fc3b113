"""Installation or upgrade of the CRD in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.crd import Definitions, apply_crd, check_revision

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
# While the cluster's definition serves: an administrator has to grant or repair something first.
SLOW_RETRY_SECONDS = 60.0
APPLIED, READ = "applied", "read"


class DefinitionKeeper:
    """Retries until our definition is in force. `served` is set as soon as pools can be watched, by any definition.

    Without `applies`, an administrator applies the definition, and the keeper waits for it.
    """

    def __init__(self, store: Definitions, ours: Mapping[str, Any], *, applies: bool = True) -> None:
        self._store = store
        self._ours = ours
        self._applies = applies
        self.served = asyncio.Event()
        # By action, so that two alternating problems are logged once each.
        self._problems = {APPLIED: "the definition of RtpPool was not read yet"}

    @property
    def problem(self) -> str | None:
        """Why our definition is not in force; None when it is."""
        return next(iter(self._problems.values()), None)

    async def run(self) -> None:
        """Apply our definition where it is newer, until that is done and pools are served."""
        applied = False
        while True:
            applied = applied or await self._attempt(APPLIED, self._apply)
            if not self.served.is_set() and await self._attempt(READ, self._store.serves_pools):
                self.served.set()
                log.info("pools are served")
            if applied and self.served.is_set():
                return
            await asyncio.sleep(SLOW_RETRY_SECONDS if self.served.is_set() else RETRY_SECONDS)

    async def _apply(self) -> bool:
        await (apply_crd if self._applies else check_revision)(self._store, self._ours)
        return True

    async def _attempt(self, action: str, call: Callable[[], Awaitable[bool]]) -> bool:
        try:
            done = await call()
        except Exception as error:
            expected = isinstance(error, ClusterError)
            reason = str(error) if expected else repr(error)
            problem = f"the definition of RtpPool can't be {action}, so a new field may be missing: {reason}"
            if problem != self._problems.get(action):
                log.warning("%s", problem, exc_info=None if expected else error)
                self._problems[action] = problem
            return False
        self._problems.pop(action, None)
        return done
