"""The relay in C writes rows for our own reader: forwarded, stamped, answered, each once."""

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.base.places import LOOPBACK
from lab.faults.calls.rig.recordings import Packet, Speaker
from lab.faults.calls.rows.c_relay import Forwarder
from lab.faults.calls.rows.tiers import compile_programs
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.media.rows import Word
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_testing.ports import free_port
from rtppool_testing.sockets import address_of, udp_socket

SLOT, PACKETS = 3, 50

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


class Line:
    """Asterisk's socket and the echo's, and the relay between them."""

    def __init__(self, asterisk: socket.socket, echo: socket.socket, forwarder: Forwarder, port: int) -> None:
        self.asterisk = asterisk
        self.echo = echo
        self.forwarder = forwarder
        self.port = port

    async def there(self, packet: Packet) -> tuple[bytes, tuple[str, int]]:
        self.asterisk.sendto(packet.rtp, (LOOPBACK, self.port))
        async with asyncio.timeout(20):
            return await asyncio.get_running_loop().sock_recvfrom(self.echo, 2048)

    async def and_back(self, packet: Packet) -> bytes:
        data, sender = await self.there(packet)
        self.echo.sendto(data, sender)
        async with asyncio.timeout(20):
            return await asyncio.get_running_loop().sock_recv(self.asterisk, 2048)


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    port = free_port()
    with udp_socket() as asterisk, udp_socket() as echo:
        forwarder = await Forwarder.start(str(compile_programs(tmp_path).relay), address_of(echo)[1])
        peer = address_of(asterisk)[1]
        await forwarder.command(f"open {SLOT} {port} {peer}", f"opened {SLOT}")
        yield Line(asterisk, echo, forwarder, port)
        await forwarder.close()


async def test_packets_pass_unchanged_and_their_rows_have_the_times(line: Line) -> None:
    began = time.time_ns()
    for packet in Speaker(0xABCD, 65_500, 900).talk(PACKETS):
        assert await line.and_back(packet) == packet.rtp
    rows = RowReader(RowRings(line.forwarder.memory), SLOT).take(time.time_ns())
    assert rows["ssrc"].tolist() == [0xABCD] * PACKETS
    assert (rows["index"] & 0xFFFF).tolist() == [(65_500 + number) & 0xFFFF for number in range(PACKETS)]
    assert (rows["timestamp"]).tolist() == [900 + 160 * number for number in range(PACKETS)]
    assert ((began - NS_PER_SECOND <= rows["a"]) & (rows["a"] <= rows["x"])).all()
    assert ((rows["x"] <= rows["r"]) & (rows["r"] <= rows["y"]) & (rows["y"] <= time.time_ns())).all()


async def test_an_unanswered_packet_is_a_row_without_an_answer(line: Line) -> None:
    (packet,) = Speaker(0xABCD, 1, 0).talk(1)
    await line.there(packet)
    reader = RowReader(RowRings(line.forwarder.memory), SLOT)
    assert reader.take(time.time_ns()).size == 0
    assert reader.take(time.time_ns() + 3 * NS_PER_SECOND)["answered"].tolist() == [False]


async def test_another_source_begins_another_epoch(line: Line) -> None:
    (old,), (new,) = Speaker(1, 9, 0).talk(1), Speaker(2, 10, 0).talk(1)
    await line.and_back(old)
    await line.and_back(new)
    reader = RowReader(RowRings(line.forwarder.memory), SLOT)
    assert reader.take(time.time_ns())["epoch"].tolist() == [1, 2]
    assert reader.word(Word.SSRC) == 2


async def test_a_closed_slot_releases_its_port(line: Line) -> None:
    await line.forwarder.command(f"close {SLOT}", f"closed {SLOT}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.bind((LOOPBACK, line.port))
