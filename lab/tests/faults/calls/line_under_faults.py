"""Ten callers at the stand-in, a relay, and the proxies between them, for the short forms of the fault runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from relay_process import RelayProcess, relay_process, relay_settings, talking

from lab.base.places import LOOPBACK
from lab.faults.calls.rig.ari_proxy import AriProxy
from lab.faults.calls.rig.bending_proxy import BendingProxy
from lab.faults.calls.rounds.accounts import uncounted
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until

CALLS, MORE = 10, 10
PORTS = 40
APPLICATION = "rtp-pool"


@dataclass(frozen=True, slots=True)
class Line:
    """Ten callers at the stand-in, the relay, and the proxy between them."""

    stand_in: StandIn
    proxy: AriProxy
    bending: BendingProxy
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
async def placed(folder: Path, **variables: str) -> AsyncIterator[Line]:
    """Run everything, with calls that talk. `variables` are added to the relay's environment."""
    async with StandIn(LOOPBACK, 0, "relay", "secret") as stand_in, echo() as echo_port:
        bending = BendingProxy(int(stand_in.url.split(":")[2].split("/")[0]))
        await bending.start()
        proxy = AriProxy(0, bending.port)
        await proxy.start()
        through = f"http://{LOOPBACK}:{proxy.listen_port}/ari"
        settings = relay_settings(stand_in, echo_port, free_range(PORTS), ARI_URL=through, **variables)
        try:
            async with relay_process(settings, folder / "relay.log") as relay:
                await until(relay.connected, "the relay takes calls")
                callers = [stand_in.place_call(APPLICATION) for _ in range(CALLS)]
                await talking(stand_in, callers)
                yield Line(stand_in, proxy, bending, relay, callers)
        finally:
            await proxy.close()
            await bending.close()
