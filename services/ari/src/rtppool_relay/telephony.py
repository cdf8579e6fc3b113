"""The calls' side of the relay as its other parts see it, also where no Asterisk is configured."""

from __future__ import annotations

import asyncio
from typing import Any

from rtppool_core.report import AriReport, CallsReport
from rtppool_relay.media_plane import MediaPlane
from rtppool_relay.settings import Settings

NOT_CONFIGURED = "ARI_USER is not set; set ARI_USER and ARI_PASS (or ARI_PASS_FILE) to take calls"


class Telephony:
    """Calls from one Asterisk; without credentials there are none, and the report says why."""

    def __init__(self, settings: Settings, plane: MediaPlane) -> None:
        self._settings = settings

    async def run(self) -> None:
        await asyncio.Event().wait()

    def live_calls(self) -> list[Any]:
        return []

    def recent_calls(self) -> list[Any]:
        return []

    def calls_report(self) -> CallsReport:
        return CallsReport(0, 0, 0, 0, 0, {})

    def ari_report(self) -> AriReport:
        return AriReport("NotConfigured", 0, reason=NOT_CONFIGURED)

    @property
    def active_calls(self) -> int:
        return 0

    def begin_drain(self) -> None:
        return

    async def wait_until_idle(self) -> None:
        return

    async def cut_all(self) -> int:
        return 0

    async def close(self) -> None:
        return
