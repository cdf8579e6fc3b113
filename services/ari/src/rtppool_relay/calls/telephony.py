"""The calls' side of the relay as its other parts see it, also where no Asterisk is configured."""

from __future__ import annotations

import asyncio
import random
import time

from rtppool_core.contract.report import AriReport, CallsReport
from rtppool_relay.ari.rest import AriHttp
from rtppool_relay.ari.session import AriSession
from rtppool_relay.calls.hand_over import leave_word
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters, CallRecord
from rtppool_relay.calls.registry import CallRegistry
from rtppool_relay.calls.runner import CallSurroundings
from rtppool_relay.ports.interface import PortAllocator
from rtppool_relay.settings import Settings

NOT_CONFIGURED = "ARI_USER is not set; set ARI_USER and ARI_PASS (or ARI_PASS_FILE) to take calls"


class Telephony:
    """Calls from one Asterisk; without credentials there are none, and the report says why."""

    def __init__(self, settings: Settings, ports: PortAllocator) -> None:
        self._configured = bool(settings.ari_user)
        self._draining = False
        self._client = AriHttp(settings.ari_url, settings.ari_user, settings.ari_password, settings.ari_tls)
        self._ids = CallIds.of_node(settings.node_name)
        self._calls = CallRegistry(
            CallSurroundings(
                client=self._client,
                ports=ports,
                ids=self._ids,
                application=settings.application,
                counters=CallCounters(),
                monotonic=time.monotonic,
                wall_ns=time.time_ns,
                draining=lambda: self._draining,
            )
        )
        self._session = AriSession(
            self._client, settings.ari_url, settings.application, self._calls, time.time_ns, random.uniform
        )

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""
        return self._calls.active_calls

    async def run(self) -> None:
        """Take calls, for ever."""
        if self._configured:
            await self._session.run()
        else:
            await asyncio.Event().wait()

    def live_calls(self) -> list[CallRecord]:
        """The live calls, oldest first."""
        return self._calls.live_calls()

    def recent_calls(self) -> list[CallRecord]:
        """The last ended calls, newest first; bounded."""
        return self._calls.recent_calls()

    def look_at_media(self) -> None:
        """Notice calls without sound; call it every second or so."""
        self._calls.look_at_media()

    def calls_report(self) -> CallsReport:
        """The counts of calls."""
        return self._calls.report()

    def ari_report(self) -> AriReport:
        """The connection to Asterisk, or why there is none."""
        if not self._configured:
            return AriReport("NotConfigured", 0, reason=NOT_CONFIGURED)
        return self._session.report()

    def begin_drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""
        await self._calls.wait_until_idle()

    async def cut_all(self) -> int:
        """End all calls now; returns how many there were."""
        return await self._calls.cut_all()

    async def leave_word(self) -> None:
        """Tell the next relay on this node when its calls were left. Call it when `run` has been cancelled."""
        if self._configured:
            await leave_word(self._client, self._ids, time.time_ns)

    async def close(self) -> None:
        """Let go of all ports and connections."""
        await self._calls.close()
        await self._client.close()
