"""The rig: Asterisk 22, echo and relay as processes of this machine, each under a keeper, and SIPp as callers."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.base.errors import LabError
from lab.base.keeper import Keeper
from lab.base.places import LOOPBACK
from lab.base.waiting import wait_for_listener, wait_until
from lab.faults.calls.places import ARI_PORT
from lab.faults.calls.rig.ari_proxy import AriProxy
from lab.faults.calls.rig.asterisk import ASTERISK_LOG, AsteriskView, command, configure
from lab.faults.calls.rig.bending_proxy import BendingProxy
from lab.faults.calls.rig.callers import Callers
from lab.faults.calls.rig.relay import RelayView, echo_command, echo_environment, relay_command, relay_environment
from lab.faults.calls.rig.rooted import PhoneRoots

UP_SECONDS = 20.0
POLL_SECONDS = 0.05
ASTERISK_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TERM": "dumb"}


@dataclass(frozen=True, slots=True)
class Ports:
    """The relay's range, both ends included."""

    first: int = 11500
    last: int = 11649

    def __str__(self) -> str:
        """Return the value of PORT_RANGE."""
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        """Return the number of ports."""
        return self.last - self.first + 1


@dataclass(slots=True)
class Rig:
    """The running parts. Only a rig with `through_proxy` has a proxy, only one with `bends` a bending proxy."""

    ports: Ports
    folder: Path
    asterisk: Keeper
    relay: Keeper
    echo: Keeper
    view: AsteriskView
    relay_view: RelayView
    callers: Callers
    proxy: AriProxy | None
    bending: BendingProxy | None = None

    @property
    def asterisk_folder(self) -> Path:
        """Asterisk's folder."""
        return self.folder / "asterisk"

    def dialplan_log(self, offset: int = 0) -> str:
        """Return the dialplan's log from `offset` bytes on."""
        path = self.asterisk_folder / "log" / ASTERISK_LOG
        return path.read_bytes()[offset:].decode(errors="replace") if path.exists() else ""

    def dialplan_size(self) -> int:
        """Return the size of the dialplan's log in bytes."""
        path = self.asterisk_folder / "log" / ASTERISK_LOG
        return path.stat().st_size if path.exists() else 0

    async def is_connected(self) -> bool:
        """Return whether the relay is ready and connected to Asterisk."""
        status = await self.relay_view.status()
        return status is not None and status["ari"]["state"] == "Connected" and status["ready"]


@dataclass(frozen=True, slots=True)
class Chain:
    """The commands of a relay and of the echo behind it, and additional settings of the relay."""

    relay: tuple[str, ...]
    echo: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


OURS = Chain(tuple(relay_command()), tuple(echo_command()))
# Asterisk and SIPp use the relay's processor as well. A run that checks survival, not capacity, must not refuse calls
# for that load.
TAKES_ALL = Chain(OURS.relay, OURS.echo, {"ADMISSION": "off"})


@asynccontextmanager
async def running_rig(
    roots: PhoneRoots,
    folder: Path,
    ports: Ports,
    *,
    through_proxy: bool = False,
    bends: bool = False,
    chain: Chain = OURS,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Rig]:
    """Run all parts, connected, for the length of the block. With `bends` the relay's requests pass both proxies.

    `variables` are added to the environment of relay and echo.

    Raises:
        LabError: a part did not come up.
    """
    password = secrets.token_urlsafe(18)
    asterisk_folder = folder / "asterisk"
    asterisk_folder.mkdir()
    configure(asterisk_folder, password)
    async with AsyncExitStack() as stack:
        view, relay_view = AsteriskView(password), RelayView()
        stack.push_async_callback(view.close)
        stack.push_async_callback(relay_view.close)
        bending = BendingProxy() if bends else None
        if bending is not None:
            stack.push_async_callback(bending.close)
            await bending.start()
        behind = ARI_PORT if bending is None else bending.port
        proxy = AriProxy(target_port=behind) if through_proxy or bends else None
        asterisk = Keeper(
            "asterisk", command(roots.asterisk, asterisk_folder), ASTERISK_ENVIRONMENT, folder / "asterisk.log"
        )
        echo = Keeper("echo", chain.echo, {**echo_environment(), **(variables or {})}, folder / "echo.log")
        ari_port = ARI_PORT if proxy is None else proxy.listen_port
        environment = {**relay_environment(ari_port, password, str(ports)), **chain.settings, **(variables or {})}
        relay = Keeper("relay", chain.relay, environment, folder / "relay.log")
        for keeper in (asterisk, echo):
            stack.push_async_callback(keeper.close)
            await keeper.start()
        await wait_for_listener(LOOPBACK, ARI_PORT, UP_SECONDS)
        if proxy is not None:
            stack.push_async_callback(proxy.close)
            await proxy.start()
        stack.push_async_callback(relay.close)
        await relay.start()
        callers = Callers(roots.sipp, folder)
        rig = Rig(ports, folder, asterisk, relay, echo, view, relay_view, callers, proxy, bending)
        try:
            await wait_until("the relay is ready and connected to Asterisk", rig.is_connected, UP_SECONDS)
        except LabError as error:
            raise LabError(f"{error}\n{relay.tail()}\n{asterisk.tail()}") from error
        yield rig
