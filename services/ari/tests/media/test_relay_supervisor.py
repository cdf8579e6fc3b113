"""Real media processes: calls go through them, and go on when one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from rtppool_core.rtp.header import RtpHeader, build
from rtppool_relay.media.port_sockets import PortSockets, bind_another_echo, bind_pair
from rtppool_relay.media.rows import Word
from rtppool_relay.media.supervisor import CONTROL_NICENESS, Attachment, MediaFault, MediaSupervisor
from rtppool_relay.streams.row_reader import RowReader


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def packet(sequence: int) -> bytes:
    return build(RtpHeader(0, sequence, sequence * 160, 7), b"p" * 160)


async def receive(sock: socket.socket) -> bytes:
    async with asyncio.timeout(30):
        return await asyncio.get_running_loop().sock_recv(sock, 2048)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def answered(reader: RowReader) -> int:
    return int(np.count_nonzero(reader._rows["answered"]))


class Call:
    """Asterisk and the echo played by the test."""

    def __init__(self, supervisor: MediaSupervisor) -> None:
        self.asterisk, self.echo = udp(), udp()
        self.pair: PortSockets = bind_pair("127.0.0.1", 0, 46)
        self.pair.echo.connect(self.echo.getsockname())
        self.pair.asterisk.connect(self.asterisk.getsockname())
        self.slot = supervisor.take_slot()
        self.attachment = Attachment(self.slot, self.pair, self.asterisk.getsockname())

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.pair.port)

    async def round_trip(self, sequence: int) -> None:
        self.asterisk.sendto(packet(sequence), self.address)
        assert await receive(self.echo) == packet(sequence)
        self.echo.sendto(packet(sequence), self.address)
        assert await receive(self.asterisk) == packet(sequence)

    def close(self) -> None:
        for sock in (self.asterisk, self.echo, self.pair.asterisk, self.pair.echo):
            sock.close()


@pytest.fixture
async def supervisor() -> AsyncIterator[MediaSupervisor]:
    one = MediaSupervisor(1)
    await one.start()
    yield one
    await one.close()


@pytest.fixture
async def call(supervisor: MediaSupervisor) -> AsyncIterator[Call]:
    one = Call(supervisor)
    await supervisor.attach(one.attachment)
    yield one
    one.close()


def media_process(supervisor: MediaSupervisor) -> int:
    process = supervisor._workers[0].process
    assert process is not None
    return process.pid


async def test_packets_go_through_a_media_process_and_leave_rows(supervisor: MediaSupervisor, call: Call) -> None:
    for sequence in range(3):
        await call.round_trip(sequence)
    reader = RowReader(supervisor.memory, call.slot)
    await until(lambda: answered(reader) == 3)
    rows = reader.take(0)
    assert (rows["answered"] != 0).tolist() == [True, True, True]


async def test_a_killed_media_process_is_started_again_with_its_calls_and_ports(
    supervisor: MediaSupervisor, call: Call
) -> None:
    reader = RowReader(supervisor.memory, call.slot)
    await call.round_trip(1)
    # A packet is sent on before its row is finished: a kill in between would leave it unanswered.
    await until(lambda: answered(reader) == 1)
    before = media_process(supervisor)
    os.kill(before, signal.SIGKILL)
    await call.round_trip(2)
    assert media_process(supervisor) != before
    assert supervisor.restarts == 1
    await until(lambda: answered(reader) == 2)
    assert set(reader.take(0)["epoch"]) == {1}


async def test_the_process_that_stood_by_takes_the_calls_and_another_stands_by(
    supervisor: MediaSupervisor, call: Call
) -> None:
    before = supervisor._standby.process
    assert before is not None
    os.kill(media_process(supervisor), signal.SIGKILL)
    await call.round_trip(1)
    assert media_process(supervisor) == before.pid
    await until(lambda: supervisor._standby.process is not None and supervisor._standby.process.pid != before.pid)
    os.kill(media_process(supervisor), signal.SIGKILL)
    await call.round_trip(2)
    assert supervisor.restarts == 2


async def test_a_process_that_stood_by_and_died_is_no_restart_of_a_media_process(supervisor: MediaSupervisor) -> None:
    before = supervisor._standby.process
    assert before is not None
    os.kill(before.pid, signal.SIGKILL)
    await until(lambda: supervisor._standby.process is not None and supervisor._standby.process.pid != before.pid)
    assert (supervisor.restarts, supervisor.workers_up(), supervisor.workers) == (0, 1, 1)


async def test_calls_are_taken_also_when_the_one_that_stood_by_dies_with_the_other(
    supervisor: MediaSupervisor, call: Call
) -> None:
    standby = supervisor._standby.process
    assert standby is not None
    for pid in (standby.pid, media_process(supervisor)):
        os.kill(pid, signal.SIGKILL)
    await call.round_trip(1)


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def is_replaced(supervisor: MediaSupervisor, killed: int) -> bool:
    process = supervisor._workers[0].process
    return process is not None and process.pid != killed and supervisor.workers_up() == 1


async def nicenesses_after_a_kill() -> tuple[int, int, int]:
    """Of this thread, and of the media processes before and after."""
    supervisor = MediaSupervisor(1)
    await supervisor.start()
    supervisor.yield_to_media()
    first = media_process(supervisor)
    before = niceness(first)
    for _ in range(2):  # the one that stood by, and one that was started after that
        killed = media_process(supervisor)
        os.kill(killed, signal.SIGKILL)
        await until(partial(is_replaced, supervisor, killed))
    after = niceness(media_process(supervisor))
    await supervisor.close()
    return niceness(threading.get_native_id()), before, after


def test_control_yields_to_media_processes_and_to_those_to_come() -> None:
    # In a thread of its own: niceness is a thread's, and can't be taken back.
    with ThreadPoolExecutor(1) as thread:
        own, before, after = thread.submit(lambda: asyncio.run(nicenesses_after_a_kill())).result(30)
    assert (own, before, after) == (CONTROL_NICENESS, 0, 0)


async def test_as_many_calls_as_a_large_range_holds_outlive_a_killed_process(supervisor: MediaSupervisor) -> None:
    calls = [Call(supervisor) for _ in range(101)]
    for one in calls:
        await supervisor.attach(one.attachment)
    os.kill(media_process(supervisor), signal.SIGKILL)
    for one in calls:
        await one.round_trip(1)
        one.close()


async def test_a_detached_call_forwards_nothing(supervisor: MediaSupervisor, call: Call) -> None:
    await call.round_trip(1)
    await supervisor.detach(call.slot)
    call.asterisk.sendto(packet(2), call.address)
    await supervisor.attach(call.attachment)
    # What waited in the socket is the first thing that the next attachment forwards.
    assert await receive(call.echo) == packet(2)


async def test_a_live_call_is_moved_to_another_echo_without_losing_what_the_old_one_answers(
    supervisor: MediaSupervisor, call: Call
) -> None:
    await call.round_trip(1)
    with udp() as newcomer:
        another = bind_another_echo(call.pair, "127.0.0.1", 46)
        another.connect(newcomer.getsockname())
        call.asterisk.sendto(packet(2), call.address)
        assert await receive(call.echo) == packet(2)
        await supervisor.switch_echo(call.slot, another)
        call.asterisk.sendto(packet(3), call.address)
        assert await receive(newcomer) == packet(3)
        call.echo.sendto(packet(2), call.address)
        assert await receive(call.asterisk) == packet(2)
        await supervisor.forget_old_echo(call.slot)
        newcomer.sendto(packet(3), call.address)
        assert await receive(call.asterisk) == packet(3)
        another.close()


async def test_a_slot_is_clean_when_it_is_taken_again(supervisor: MediaSupervisor, call: Call) -> None:
    await call.round_trip(1)
    await supervisor.detach(call.slot)
    supervisor.give_slot_back(call.slot)
    assert supervisor.take_slot() == call.slot
    assert RowReader(supervisor.memory, call.slot).word(Word.EPOCH) == 0


async def test_slots_run_out_with_a_sentence(supervisor: MediaSupervisor) -> None:
    supervisor._free_slots.clear()
    with pytest.raises(MediaFault, match="slots of the shared rows are in use"):
        supervisor.take_slot()


async def test_a_stopped_media_process_is_not_up_and_is_again_when_it_goes_on(supervisor: MediaSupervisor) -> None:
    pid = media_process(supervisor)
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: supervisor.workers_up() == 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: supervisor.workers_up() == 1)
    assert supervisor.restarts == 0
