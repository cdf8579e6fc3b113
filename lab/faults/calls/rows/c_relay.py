"""The product's call control over the media path in C: run as `python -m lab.faults.calls.rows.c_relay PROGRAM`.

Asterisk, calls and environment are those of our own relay, but `relay_rows.c` forwards the packets. It writes its rows
into a memory file of the same name, so that one reader compares both.
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
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_relay.calls.telephony import Telephony
from rtppool_relay.figures.call_figures import CallFigures
from rtppool_relay.media.rows import Word, slot_offset
from rtppool_relay.media.sizes import ROWS_NAME, SLOT_BYTES, SLOTS
from rtppool_relay.ports.interface import Refused
from rtppool_relay.settings import read_settings
from rtppool_relay.streams.flow import MediaFlow

FORMAT = "ulaw"
MAX_ANSWER_SECONDS = 10.0
_NOT_MEASURED_HERE = CallFigures(
    packets=0, answered=0, lost=0, late=LateByCause(), reordered=0, duplicates=0, too_late=0
)


class Forwarder:
    """The program in C and the rows that it writes."""

    def __init__(self, rows: int, process: asyncio.subprocess.Process) -> None:
        self.memory = mmap.mmap(rows, SLOTS * SLOT_BYTES)
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def start(cls, program: str, echo_port: int) -> Forwarder:
        """Start the program, which ends when this process closes its standard input."""
        rows = os.memfd_create(ROWS_NAME)  # kept open, so that the reader finds it among the descriptors
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

    async def command(self, line: str, answer: str) -> None:
        """Send a command and wait for its answer."""
        async with self._one_at_a_time:
            if self._process.stdin is None:
                raise AssertionError("a pipe was asked for")
            self._process.stdin.write(f"{line}\n".encode())
            await self.expect(answer)

    async def expect(self, answer: str) -> None:
        """Read the next line.

        Raises:
            RuntimeError: it is another line.
        """
        if self._process.stdout is None:
            raise AssertionError("a pipe was asked for")
        async with asyncio.timeout(MAX_ANSWER_SECONDS):
            line = (await self._process.stdout.readline()).decode().strip()
        if line != answer:
            raise RuntimeError(f"the relay in C printed {line!r} instead of {answer!r}")

    async def close(self) -> None:
        """End the program."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    def has_packets(self, slot: int) -> bool:
        """Return whether a packet came to this slot."""
        at = slot_offset(slot) + 8 * Word.SSRC
        return self.memory[at : at + 4] != bytes(4)


@dataclass(slots=True)
class CPort:
    """A `MediaPort` of the relay in C, whose figures are read from its rows."""

    ports: CPorts
    port: int
    slot: int
    advertised_address: str
    connected: bool = False

    def announce(self) -> tuple[str, int]:
        """Return the address for Asterisk."""
        return self.advertised_address, self.port

    async def connect(self, address: str, port: int) -> None:
        """Connect to a port; all addresses are the loopback address."""
        del address
        await self.ports.forwarder.command(f"open {self.slot} {self.port} {port}", f"opened {self.slot}")
        self.connected = True

    def figures(self) -> CallFigures:
        """Return empty figures."""
        return _NOT_MEASURED_HERE

    def flow(self) -> MediaFlow:
        """Return a flow in which every packet is answered; the call's control needs no more."""
        packets = int(self.connected and self.ports.forwarder.has_packets(self.slot))
        return MediaFlow(packets, packets)

    async def observe_senders(self) -> str | None:
        """Return no sentence: Asterisk sends from the loopback address."""
        return None

    def excuse_digit(self, duration_seconds: float) -> None:
        """Count nothing: the rows of this relay are read elsewhere."""

    async def close(self) -> CallFigures:
        """Close the port."""
        if self.connected:
            self.connected = False
            await self.ports.forwarder.command(f"close {self.slot}", f"closed {self.slot}")
        self.ports.free.append((self.port, self.slot))
        return self.figures()


@dataclass(slots=True)
class CPorts:
    """A `PortAllocator` of the relay in C: a port and a slot for each call."""

    forwarder: Forwarder
    advertised_address: str
    media_format: str = FORMAT
    free: list[tuple[int, int]] = field(default_factory=list)

    def take_ports(self, ports: PortRange) -> None:
        """Use these ports."""
        self.free = [(port, slot) for slot, port in enumerate(ports)]

    async def open(self, call: str) -> CPort:
        """Lease a port and a slot."""
        if not self.free:
            raise Refused("NoFreePort", f"{call}: every port has a call")
        port, slot = self.free.pop(0)
        return CPort(self, port, slot, self.advertised_address)

    async def adopt(self, call: str, port: int) -> CPort:
        """Refuse an adoption: the relay in C keeps no calls over a restart."""
        raise Refused("NotReady", f"{call} on port {port}: this relay adopts no calls")

    def hold(self, ports: frozenset[int]) -> None:
        """Hold no port: this relay finds no call at its start."""

    async def audit(self, ports_of_calls: Iterable[int]) -> tuple[int, ...]:
        """Return no suspects."""
        del ports_of_calls
        return ()


async def _serve(program: str) -> None:
    settings = read_settings(os.environ)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    ports = CPorts(await Forwarder.start(program, settings.echo.port), settings.advertise_ip)
    ports.take_ports(settings.port_range)
    telephony = Telephony(settings, ports, lambda _address: None, PeriodicJobs())  # ADVERTISE_IP is set

    async def status(_request: web.Request) -> web.StreamResponse:
        return json_response({"ready": True, "ari": to_json(telephony.ari_report())})

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    for address in settings.http_bind:
        await web.TCPSite(runner, address, settings.http_port).start()
    await telephony.run()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
