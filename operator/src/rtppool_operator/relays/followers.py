"""One task for each relay, which asks it again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import partial

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.polling import Poller

JOB = "polls of a relay"


@dataclass(slots=True)
class _Followed:
    relay: RelayPod
    is_behind: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Followers:
    """Follows the relays of the last call of `follow`."""

    def __init__(self, poller: Poller, jobs: PeriodicJobs) -> None:
        self._poller = poller
        self._jobs = jobs
        self._followed: dict[str, _Followed] = {}

    def follow(self, relays: Iterable[RelayPod]) -> None:
        """Follow these relays, and forget all others. A relay with another address is asked anew."""
        wanted = {relay.uid: relay for relay in relays}
        for uid in self._followed.keys() - wanted.keys():
            self._followed.pop(uid).end()
        self._poller.keep_only(wanted.values())
        for uid, relay in wanted.items():
            known = self._followed.get(uid)
            if known is not None and (known.relay.address, known.relay.port) == (relay.address, relay.port):
                known.relay = relay
                continue
            if known is not None:
                known.end()
            followed = self._followed[uid] = _Followed(relay)
            followed.task = asyncio.create_task(self._jobs.keep_running(JOB, partial(self._follow, followed)))

    def hurry(self, uids: Collection[str]) -> None:
        """Ask relays that are behind their configuration at once, and more often than the others from now on."""
        for uid, followed in self._followed.items():
            if uid in uids and not followed.is_behind:
                followed.wake.set()
            followed.is_behind = uid in uids

    async def close(self) -> None:
        """End all tasks."""
        tasks = [each.task for each in self._followed.values() if each.task is not None]
        self.follow(())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, followed: _Followed) -> None:
        while True:
            pause = await self._poller.ask(followed.relay, is_behind=followed.is_behind)
            followed.wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await followed.wake.wait()
