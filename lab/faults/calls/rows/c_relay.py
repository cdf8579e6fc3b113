"""The product's call control over the media path in C: run as `python -m lab.faults.calls.rows.c_relay PROGRAM`.

Asterisk, calls and environment are as with our own relay; what forwards packets is `relay_rows.c`. It writes its rows
into a memory file of the same name, where whoever compares finds them.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import web

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import LateByCause
from rtppool_core.net.http_endpoints import json_response
from rtppool_core.process import logs
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.media.rows import ROWS_NAME, SLOT_BYTES, SLOTS, Word, slot_offset
from rtppool_relay.ports.interface import Refused
from rtppool_relay.settings import read_settings
from rtppool_relay.streams.flow import MediaFlow

FORMAT = "ulaw"
MAX_ANSWER_SECONDS = 10.0
_NOT_MEASURED_HERE = CallFigures(0, 0, 0, 0, LateByCause(), 0, 0, 0)


class Forwarder:
    """The program in C and the rows that it writes."""

    def __init__(self, rows: int, process: asyncio.subprocess.Process) -> None:
        self.memory = mmap.mmap(rows, SLOTS * SLOT_BYTES)
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def start(cls, program: str, echo_port: int) -> Forwarder:
        """Start it; it ends with us, because its standard input does."""
        rows = os.memfd_create(ROWS_NAME)  # kept open: others find it among our descriptors
        os.ftruncate(rows, SLOTS * SLOT_BYTES)
        process = await asyncio.create_subprocess_exec(
            program,
            str(rows),
            str(SLOTS),
            str(echo_port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=(rows,),
        )
        forwarder = cls(rows, process)
        await forwarder.expect("ready")
        return forwarder

    async def tell(self, line: str, answer: str) -> None:
        """Give a command, and wait until it is done."""
        async with self._one_at_a_time:
            if self._process.stdin is None:
                raise AssertionError("a pipe was asked for")
            self._process.stdin.write(f"{line}\n".encode())
            await self.expect(answer)

    async def expect(self, answer: str) -> None:
        """Read its next line.

        Raises:
            RuntimeError: another one.
        """
        if self._process.stdout is None:
            raise AssertionError("a pipe was asked for")
        async with asyncio.timeout(MAX_ANSWER_SECONDS):
            line = (await self._process.stdout.readline()).decode().strip()
        if line != answer:
            raise RuntimeError(f"the relay in C says {line!r}, {answer!r} was expected")

    async def close(self) -> None:
        """End it, and give up the rows unless somebody still looks at them."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def has_packets(self, slot: int) -> bool:
        """Whether a packet came to this slot."""
        at = slot_offset(slot) + 8 * Word.SSRC
        return self.memory[at : at + 4] != bytes(4)


@dataclass(slots=True)
class CPort:
    """Implements `MediaPort`; what it measures is read from its rows."""

    ports: CPorts
    port: int
    slot: int
    advertised_address: str
    connected: bool = False

    async def connect(self, address: str, port: int) -> None:
        """See `MediaPort.connect`; all addresses are the loopback one."""
        del address
        await self.ports.forwarder.tell(f"open {self.slot} {self.port} {port}", f"opened {self.slot}")
        self.connected = True

    def figures(self) -> CallFigures:
        """See `MediaPort.figures`."""
        return _NOT_MEASURED_HERE

    def flow(self) -> MediaFlow:
        """See `MediaPort.flow`: all that goes there comes back, as far as the call's control needs to know."""
        packets = int(self.connected and self.ports.forwarder.has_packets(self.slot))
        return MediaFlow(packets, packets)

    async def close(self) -> CallFigures:
        """See `MediaPort.close`."""
        if self.connected:
            self.connected = False
            await self.ports.forwarder.tell(f"close {self.slot}", f"closed {self.slot}")
        self.ports.free.append((self.port, self.slot))
        return self.figures()


@dataclass(slots=True)
class CPorts:
    """Implements `PortAllocator`: a port and a slot for each call."""

    forwarder: Forwarder
    advertised_address: str
    media_format: str = FORMAT
    free: list[tuple[int, int]] = field(default_factory=list)

    def take_ports(self, ports: PortRange) -> None:
        """Use these."""
        self.free = [(port, slot) for slot, port in enumerate(ports)]

    async def open(self, call: str) -> CPort:
        """See `PortAllocator.open`."""
        if not self.free:
            raise Refused("NoFreePort", f"{call}: every port has a call")
        port, slot = self.free.pop(0)
        return CPort(self, port, slot, self.advertised_address)

    async def adopt(self, call: str, port: int) -> CPort:
        """See `PortAllocator.adopt`; here nothing is left from before."""
        raise Refused("NotReady", f"{call} on port {port}: this relay adopts no calls")

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """See `PortAllocator.audit`."""
        del ports_of_calls
        return ()


async def _serve(program: str) -> None:
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    ports = CPorts(await Forwarder.start(program, settings.echo.port), settings.advertise_ip)
    ports.take_ports(settings.port_range)
    telephony = Telephony(settings, ports)

    async def status(_request: web.Request) -> web.StreamResponse:
        return json_response({"ready": True, "ari": to_json(telephony.ari_report())})

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, settings.http_bind, settings.http_port).start()
    await telephony.run()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
