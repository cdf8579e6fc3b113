"""The real Asterisk of the rig: its configuration, and its state through ARI, past any proxy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.faults.calls.places import ARI_PORT, ASTERISK_FILES, FIRST_ASTERISK_RTP_PORT, LAST_ASTERISK_RTP_PORT, SIP_PORT
from lab.faults.calls.rig.rooted import WORK, rooted

USER = "relay"
ASTERISK_LOG = "messages.log"
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "http.conf": {"bindaddr": LOOPBACK, "bindport": str(ARI_PORT)},
    "pjsip.conf": {"bind": f"{LOOPBACK}:{SIP_PORT}"},
    "rtp.conf": {"rtpstart": str(FIRST_ASTERISK_RTP_PORT), "rtpend": str(LAST_ASTERISK_RTP_PORT)},
}


def configure(folder: Path, password: str) -> None:
    """Write the configuration of the cluster's tests into `folder`, with the rig's ports and dialplan."""
    etc = folder / "etc"
    etc.mkdir()
    for source in ASTERISK_FILES:
        for path in source.glob("*.conf"):
            text = path.read_text().replace("@ARI_PASSWORD@", password)
            (etc / path.name).write_text(with_settings(text, _SETTINGS.get(path.name, {})))
    for name in ("run", "log", "db", "spool", "keys"):
        (folder / name).mkdir()


def with_settings(text: str, settings: Mapping[str, str]) -> str:
    """Return a configuration file's text with other values for these keys.

    Raises:
        LabError: the text does not have each key exactly once.
    """
    for key, value in settings.items():
        text, changed = re.subn(rf"(?m)^{key}\s*=.*$", f"{key} = {value}", text)
        if changed != 1:
            raise LabError(f"{key} stands {changed} times in a configuration file of Asterisk, accepted is once")
    return text


def command(root: Path, folder: Path) -> list[str]:
    """Return the command of Asterisk in the foreground, in the folder that `configure` filled."""
    return rooted(root, folder, ["asterisk", "-f", "-C", str(WORK / "etc/asterisk.conf")])


@dataclass(frozen=True, slots=True)
class AsteriskState:
    """The names of all channels by id, and the members of all bridges by id."""

    channels: Mapping[str, str]
    bridges: Mapping[str, tuple[str, ...]]


class AsteriskView:
    """A client of Asterisk's ARI over connections of its own, independent of the relay's."""

    def __init__(self, password: str) -> None:
        self._http = aiohttp.ClientSession(
            base_url=f"http://{LOOPBACK}:{ARI_PORT}",
            headers={"Authorization": aiohttp.encode_basic_auth(USER, password)},
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=5),
        )

    async def state(self) -> AsteriskState:
        """Return the current channels and bridges."""
        channels, bridges = await self._get("/ari/channels"), await self._get("/ari/bridges")
        return AsteriskState(
            {channel["id"]: channel["name"] for channel in channels},
            {bridge["id"]: tuple(bridge["channels"]) for bridge in bridges},
        )

    async def hang_up(self, channel: str) -> None:
        """Hang up a channel; one that does not exist is fine."""
        async with self._http.delete(f"/ari/channels/{channel}") as response:
            if response.status != 404:
                response.raise_for_status()

    async def events(self, application: str) -> AsyncIterator[dict[str, Any]]:
        """Register an application for all of Asterisk's events, and yield them."""
        query = {"app": application, "subscribeAll": "true"}
        async with self._http.ws_connect("/ari/events", params=query) as events:
            async for message in events:
                yield message.json()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _get(self, path: str) -> Any:
        async with self._http.get(path) as response:
            response.raise_for_status()
            return await response.json()
