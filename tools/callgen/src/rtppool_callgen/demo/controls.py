"""What the keys of `make run` do to the local system."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from rtppool_callgen.callers.asterisk_client import RELAYS_PREFIX, AsteriskClient
from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.demo.echo_leg import EchoLeg
from rtppool_callgen.local.processes import Child, ChildFailed, start
from rtppool_callgen.local.system import LocalSystem, StandInAddress, start_echo
from rtppool_core.process.service import Stop

DELAY_MILLISECONDS = 20
LOSS_PER_CENT = 1
APPLICATION = "rtp-pool"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, what it is for, and what it does. `is_on` tells of a switch whether it is on."""

    key: str
    label: str
    press: Callable[[], Awaitable[None]]
    is_on: Callable[[], bool] = lambda: False


class Controls:
    """The keys, and the parts that they start and stop. `echo` is None while the echo is stopped."""

    def __init__(self, system: LocalSystem, ari: StandInAddress, folder: Path, echo: Child, stop: Stop) -> None:
        self.echo: Child | None = echo
        self.message = ""
        self._system = system
        self._ari = ari
        self._folder = folder
        self._stop = stop
        self._leg = EchoLeg(system, system.pools_file(folder))
        self._busy: list[Child] = []
        self._numbers = itertools.count(1)
        self.keys = (
            Key("+", "call", self._place_call),
            Key("-", "hang up", self._hang_up),
            Key("e", "stop echo", self._switch_echo, lambda: self.echo is None),
            Key("d", f"delay {DELAY_MILLISECONDS} ms", self._switch_delay, lambda: self._delay > 0),
            Key("l", f"loss {LOSS_PER_CENT} %", self._switch_loss, lambda: self._leg.impairment.loss_per_cent > 0),
            Key("b", "busy processors", self._switch_busy, lambda: bool(self._busy)),
            Key("q", "quit", self._quit),
        )

    async def obey(self, pressed: asyncio.Queue[str]) -> None:
        """Do what the pressed keys say, one after another. A failure is the message of the table."""
        while True:
            name = await pressed.get()
            key = next((each for each in self.keys if each.key == name), None)
            if key is None:
                continue
            self.message = ""
            try:
                await key.press()
            except (CallersFailed, ChildFailed, OSError) as error:
                self.message = f"key {name}: {error}"

    def check(self) -> None:
        """Raise when a part has ended that no key has stopped.

        Raises:
            ChildFailed: one has.
        """
        self._leg.check()
        for child in (*self._busy, *((self.echo,) if self.echo else ())):
            child.check()

    async def close(self) -> None:
        """End what the keys have started, the echo included."""
        for child in self._busy:
            await child.end()
        await self._leg.close()
        if self.echo is not None:
            await self.echo.end()

    @property
    def _delay(self) -> int:
        return self._leg.impairment.delay_milliseconds

    async def _place_call(self) -> None:
        channel = f"key-{next(self._numbers)}"
        words = {"endpoint": "Local/s@default", "app": APPLICATION, "channelId": channel}
        async with self._exchange() as exchange:
            await exchange.request("POST", "/channels", words)

    async def _hang_up(self) -> None:
        """Hang up the youngest caller."""
        async with self._exchange() as exchange:
            channels = [str(each["id"]) for each in await exchange.request("GET", "/channels")]
            callers = [channel for channel in channels if not channel.startswith(RELAYS_PREFIX)]
            if callers:
                await exchange.request("DELETE", f"/channels/{callers[-1]}", may_be_missing=True)
            else:
                self.message = "no call is left to hang up"

    async def _switch_echo(self) -> None:
        if self.echo is None:
            self.echo = start_echo(self._system, self._folder)
        else:
            ending, self.echo = self.echo, None
            await ending.end()

    async def _switch_delay(self) -> None:
        await self._impair(delay_milliseconds=0 if self._delay else DELAY_MILLISECONDS)

    async def _switch_loss(self) -> None:
        await self._impair(loss_per_cent=0 if self._leg.impairment.loss_per_cent else LOSS_PER_CENT)

    async def _impair(self, **changes: int) -> None:
        await self._leg.impair(replace(self._leg.impairment, **changes))

    async def _switch_busy(self) -> None:
        ending, self._busy = self._busy, []
        for child in ending:
            await child.end()
        if not ending:
            self._busy = [
                start(f"busy-{processor}", ["rtppool_callgen.demo.busy_process", str(processor)], {}, self._folder)
                for processor in sorted(os.sched_getaffinity(0))
            ]

    async def _quit(self) -> None:
        self._stop.request()

    def _exchange(self) -> AsteriskClient:
        return AsteriskClient(self._ari.url, self._ari.user, self._ari.password)
