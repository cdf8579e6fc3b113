"""The short form of `make chaos` without Asterisk: one fault each under ten calls of the stand-in."""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from relay_process import RelayProcess, relay_process, relay_settings, talking

from lab.base.descriptors import open_descriptors
from lab.base.places import LOOPBACK
from lab.base.proc import media_pids
from lab.faults.calls.rig.ari_proxy import AriProxy
from lab.faults.calls.rounds.accounts import uncounted
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until

CALLS = 10
APPLICATION = "rtp-pool"


@dataclass(frozen=True, slots=True)
class Line:
    """Ten callers at the stand-in, the relay, and the proxy between them."""

    stand_in: StandIn
    proxy: AriProxy
    relay: RelayProcess
    callers: list[str]

    async def count(self, name: str) -> int:
        counts = await self.relay.calls()
        return int(counts[name]) if counts else -1

    async def adds_up(self) -> None:
        """Hang up, and check that no resource is left and every call is counted once."""
        for caller in self.callers:
            self.stand_in.hang_up(caller)
        await until(self._is_over, "the relay counts no call any more")
        assert uncounted(await self.relay.calls()) == []
        status = await self.relay.get("/status")
        assert status["ports"]["leased"] == 0

    async def _is_over(self) -> bool:
        return await self.count("active") == 0


@asynccontextmanager
async def placed(folder: Path) -> AsyncIterator[Line]:
    async with StandIn(LOOPBACK, 0, "relay", "secret") as stand_in, echo() as echo_port:
        proxy = AriProxy(0, int(stand_in.url.split(":")[2].split("/")[0]))
        await proxy.start()
        through = f"http://{LOOPBACK}:{proxy.listen_port}/ari"
        settings = relay_settings(stand_in, echo_port, free_range(CALLS + 1), ARI_URL=through)
        try:
            async with relay_process(settings, folder / "relay.log") as relay:
                await until(relay.connected, "the relay takes calls")
                callers = [stand_in.place_call(APPLICATION) for _ in range(CALLS)]
                await talking(stand_in, callers)
                yield Line(stand_in, proxy, relay, callers)
        finally:
            await proxy.close()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with placed(tmp_path) as ready:
        yield ready


async def reconnected(line: Line) -> bool:
    status = await line.relay.get("/status")
    return bool(status) and status["ari"]["state"] == "Connected" and status["ari"]["reconnects"] > 0


async def test_calls_go_on_when_the_connection_to_asterisk_is_reset(line: Line) -> None:
    line.proxy.reset()
    await until(lambda: reconnected(line), "connected again")
    await talking(line.stand_in, line.callers)
    assert await line.count("active") == CALLS
    assert await line.count("cut") == 0
    await line.adds_up()


async def test_a_caller_who_hangs_up_while_the_connection_is_silent_is_noticed_and_the_others_go_on(line: Line) -> None:
    line.proxy.swallow()
    gone = line.callers.pop()
    line.stand_in.hang_up(gone)
    silent_since = time.monotonic()

    async def noticed() -> bool:
        return line.relay.log.read_text().count("Asterisk is not connected") > 0 or time.monotonic() - silent_since > 10

    await until(noticed, "the silence is noticed")
    line.proxy.heal()
    await until(lambda: reconnected(line), "connected again")

    async def ended() -> bool:
        return await line.count("active") == CALLS - 1

    await until(ended, "the one that hung up has ended")
    await talking(line.stand_in, line.callers)
    await line.adds_up()


async def test_calls_go_on_when_their_media_process_is_killed(line: Line) -> None:
    os.kill(max(media_pids(line.relay.process.pid), key=open_descriptors), signal.SIGKILL)
    await talking(line.stand_in, line.callers)
    assert await line.count("active") == CALLS
    await line.adds_up()


async def test_calls_go_on_when_the_control_process_is_killed_and_started_again(line: Line, tmp_path: Path) -> None:
    line.relay.signal(signal.SIGKILL)
    await line.relay.exit_code()
    async with relay_process(line.relay.settings, tmp_path / "next.log") as following:
        after = Line(line.stand_in, line.proxy, following, line.callers)

        async def adopted() -> bool:
            return await after.count("adopted") == CALLS

        await until(adopted, "the next relay has adopted every call")
        await talking(line.stand_in, line.callers)
        await after.adds_up()
