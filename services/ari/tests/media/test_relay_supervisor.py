"""Real media processes: calls go through them, and go on when one is killed."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from media_call import MediaCall

from rtppool_relay.media.launch import start_media_process
from rtppool_relay.media.media_process import ANSWER_SECONDS, MediaFault, MediaProcess
from rtppool_relay.media.port_sockets import bind_another_echo, can_bind
from rtppool_relay.media.rows import Word
from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.media.supervisor import CONTROL_NICENESS, MAX_SILENT_PINGS, MediaSupervisor
from rtppool_relay.streams.row_reader import RowReader, RowRings
from rtppool_testing.allocations import allocated
from rtppool_testing.descriptors import no_free_descriptor
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import receive, udp_socket
from rtppool_testing.waiting import until


def answered(memory: mmap.mmap, slot: int) -> int:
    # A reader of its own: each row is read once.
    rows = RowReader(RowRings(memory), slot).take(0)
    return int(np.count_nonzero(rows["answered"]))


@pytest.fixture
async def supervisor() -> AsyncIterator[MediaSupervisor]:
    one = MediaSupervisor(1)
    await one.start()
    await one.start_standby()
    yield one
    await one.close()


@pytest.fixture
async def call(supervisor: MediaSupervisor) -> AsyncIterator[MediaCall]:
    one = MediaCall(supervisor)
    await supervisor.attach(one.attachment)
    yield one
    one.close()


async def test_packets_go_through_a_media_process_and_leave_rows(supervisor: MediaSupervisor, call: MediaCall) -> None:
    for sequence in range(3):
        await call.round_trip(sequence)
    reader = RowReader(RowRings(supervisor.memory), call.slot)
    await until(lambda: answered(supervisor.memory, call.slot) == 3)
    rows = reader.take(0)
    assert (rows["answered"] != 0).tolist() == [True, True, True]


async def test_a_killed_media_process_is_started_again_with_its_calls_and_ports(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    reader = RowReader(RowRings(supervisor.memory), call.slot)
    await call.round_trip(1)
    # A packet is sent on before its row is finished: a kill in between would leave it unanswered.
    await until(lambda: answered(supervisor.memory, call.slot) == 1)
    before = supervisor.pids[0]
    os.kill(before, signal.SIGKILL)
    await call.round_trip(2)
    assert supervisor.pids[0] != before
    assert supervisor.restarts == 1
    await until(lambda: answered(supervisor.memory, call.slot) == 2)
    assert set(reader.take(0)["epoch"]) == {1}


async def test_the_process_that_stood_by_takes_the_calls_and_another_stands_by(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    before = supervisor.standby_pid
    assert before is not None
    os.kill(supervisor.pids[0], signal.SIGKILL)
    await call.round_trip(1)
    assert supervisor.pids == [before]
    await until(lambda: supervisor.standby_pid not in {None, before})
    os.kill(supervisor.pids[0], signal.SIGKILL)
    await call.round_trip(2)
    assert supervisor.restarts == 2


async def test_a_process_that_stood_by_and_died_is_no_restart_of_a_media_process(supervisor: MediaSupervisor) -> None:
    before = supervisor.standby_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: supervisor.standby_pid not in {None, before})
    assert (supervisor.restarts, supervisor.workers_up(), supervisor.workers) == (0, 1, 1)


async def test_a_media_process_that_dies_before_another_stands_by_is_started_again_with_its_calls() -> None:
    supervisor = MediaSupervisor(1)
    await supervisor.start()
    call = MediaCall(supervisor)
    await supervisor.attach(call.attachment)
    assert supervisor.standby_pid is None
    os.kill(supervisor.pids[0], signal.SIGKILL)
    await call.round_trip(1)
    assert (supervisor.restarts, supervisor.standby_pid) == (1, None)
    await supervisor.close()
    call.close()


async def test_calls_are_taken_also_when_the_one_that_stood_by_dies_with_the_other(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    standby = supervisor.standby_pid
    assert standby is not None
    for pid in (standby, supervisor.pids[0]):
        os.kill(pid, signal.SIGKILL)
    await call.round_trip(1)


def rows_bytes(supervisor: MediaSupervisor) -> int:
    """Return the memory of all rows in use."""
    return os.fstat(supervisor._rows_descriptor).st_blocks * 512


def niceness(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


def is_replaced(supervisor: MediaSupervisor, killed: int) -> bool:
    return supervisor.pids not in ([], [killed]) and supervisor.workers_up() == 1


async def nicenesses_after_a_kill() -> tuple[int, int, int]:
    """Return the niceness of this thread, and of the media processes before and after.

    All are relative to the niceness with which the test runs.
    """
    own = niceness(threading.get_native_id())
    supervisor = MediaSupervisor(1)
    await supervisor.start()
    await supervisor.start_standby()
    supervisor.yield_to_media()
    first = supervisor.pids[0]
    before = niceness(first) - own
    for _ in range(2):  # the one that stood by, and one that was started after that
        killed = supervisor.pids[0]
        os.kill(killed, signal.SIGKILL)
        await until(partial(is_replaced, supervisor, killed))
    after = niceness(supervisor.pids[0]) - own
    await supervisor.close()
    return niceness(threading.get_native_id()) - own, before, after


def test_control_yields_to_media_processes_and_to_those_to_come() -> None:
    # In a thread of its own: niceness is a thread's, and can't be taken back.
    with ThreadPoolExecutor(1) as thread:
        own, before, after = thread.submit(lambda: asyncio.run(nicenesses_after_a_kill())).result(30)
    assert (own, before, after) == (CONTROL_NICENESS, 0, 0)


async def test_a_process_that_is_being_started_when_the_start_is_cancelled_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def start_late(theirs: socket.socket, rows_descriptor: int, *, real_time: bool) -> subprocess.Popen[bytes]:
        cancelled.wait()
        started.append(start_media_process(theirs, rows_descriptor, real_time=real_time))
        return started[-1]

    monkeypatch.setattr("rtppool_relay.media.supervisor.start_media_process", start_late)
    supervisor = MediaSupervisor(1)
    start = asyncio.create_task(supervisor.start())
    await until(lambda: bool(supervisor._starter._threads), "a thread starts the process")
    start.cancel()
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert len(started) == 1
    assert started[0].returncode is not None
    await supervisor.close()


async def test_as_many_calls_as_a_large_range_holds_outlive_a_killed_process(supervisor: MediaSupervisor) -> None:
    calls = [MediaCall(supervisor) for _ in range(101)]
    for one in calls:
        await supervisor.attach(one.attachment)
    os.kill(supervisor.pids[0], signal.SIGKILL)
    for one in calls:
        await one.round_trip(1)
        one.close()


async def test_a_detached_call_forwards_nothing(supervisor: MediaSupervisor, call: MediaCall) -> None:
    await call.round_trip(1)
    await supervisor.detach(call.slot)
    call.asterisk.sendto(rtp_packet(2), call.address)
    await supervisor.attach(call.attachment)
    # The next attachment first forwards the packets that waited in the socket.
    assert await receive(call.echo) == rtp_packet(2)


async def test_a_live_call_is_moved_to_another_echo_without_losing_what_the_old_one_answers(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    await call.round_trip(1)
    with udp_socket() as newcomer:
        another = bind_another_echo(call.pair, "127.0.0.1", 46)
        another.connect(newcomer.getsockname())
        call.asterisk.sendto(rtp_packet(2), call.address)
        assert await receive(call.echo) == rtp_packet(2)
        await supervisor.switch_echo(call.slot, another)
        call.asterisk.sendto(rtp_packet(3), call.address)
        assert await receive(newcomer) == rtp_packet(3)
        call.echo.sendto(rtp_packet(2), call.address)
        assert await receive(call.asterisk) == rtp_packet(2)
        await supervisor.forget_old_echo(call.slot)
        newcomer.sendto(rtp_packet(3), call.address)
        assert await receive(call.asterisk) == rtp_packet(3)
        another.close()


async def test_a_slot_is_clean_when_it_is_taken_again(supervisor: MediaSupervisor, call: MediaCall) -> None:
    await call.round_trip(1)
    await supervisor.detach(call.slot)
    supervisor.give_slot_back(call.slot)
    assert supervisor.take_slot() == call.slot
    assert RowReader(RowRings(supervisor.memory), call.slot).word(Word.EPOCH) == 0


async def test_the_memory_of_a_slot_goes_back_to_the_kernel_after_the_call(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    await call.round_trip(1)
    with_the_call = rows_bytes(supervisor)
    await supervisor.detach(call.slot)
    supervisor.give_slot_back(call.slot)
    assert with_the_call - rows_bytes(supervisor) == SLOT_BYTES


async def test_taking_a_slot_allocates_no_large_block(supervisor: MediaSupervisor) -> None:
    with allocated() as measured:
        supervisor.take_slot()
    assert measured.peak_bytes < SLOT_BYTES // 2


async def test_slots_run_out_with_a_sentence(supervisor: MediaSupervisor) -> None:
    supervisor._free_slots.clear()
    with pytest.raises(MediaFault, match="slots of the shared rows are in use"):
        supervisor.take_slot()


async def test_a_stopped_media_process_is_not_up_and_is_again_when_it_goes_on(supervisor: MediaSupervisor) -> None:
    pid = supervisor.pids[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: supervisor.workers_up() == 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: supervisor.workers_up() == 1)
    assert supervisor.restarts == 0


async def test_calls_of_a_media_process_that_stands_still_for_good_go_on_in_the_one_that_stood_by(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    before, standby = supervisor.pids[0], supervisor.standby_pid
    os.kill(before, signal.SIGSTOP)
    await until(lambda: supervisor.pids == [standby])
    await call.round_trip(1)
    assert supervisor.restarts == 1


async def test_a_process_that_stands_by_and_stands_still_for_good_is_replaced(supervisor: MediaSupervisor) -> None:
    before = supervisor.standby_pid
    assert before is not None
    await until(lambda: (process := supervisor._standby.process) is not None and process.is_up)
    os.kill(before, signal.SIGSTOP)
    await until(lambda: supervisor.standby_pid not in {None, before})
    assert supervisor.restarts == 0


async def test_a_media_process_that_forwards_and_takes_no_commands_is_left_alone(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    process = supervisor._workers[0].process
    # Its answers are lost on the way.
    asyncio.get_running_loop().remove_reader(process._commands.fileno())
    before = process.pid
    sequence = 0
    while process.missed_pings <= MAX_SILENT_PINGS:
        sequence += 1
        await call.round_trip(sequence)
    assert (supervisor.pids, supervisor.restarts) == ([before], 0)


def stop_for(pid: int, seconds: float) -> None:
    """Let a process stand still for some seconds from now on."""
    os.kill(pid, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(seconds, os.kill, pid, signal.SIGCONT)


def can_be_bound(call: MediaCall) -> bool:
    return can_bind("127.0.0.1", call.pair.port) is None


async def test_an_attach_that_timed_out_is_undone_in_the_media_process(supervisor: MediaSupervisor) -> None:
    call = MediaCall(supervisor)
    port = call.pair.port
    stop_for(supervisor.pids[0], ANSWER_SECONDS + 0.5)
    with pytest.raises(MediaFault, match="does not take commands: no answer within 2 s"):
        await supervisor.attach(call.attachment)
    call.pair.close()
    released: list[int] = []
    supervisor.when_detached(call.slot, partial(released.append, call.slot))
    assert (released, call.slot in supervisor.slots_in_use()) == ([], True)
    await until(lambda: released == [call.slot])
    assert can_bind("127.0.0.1", port) is None
    call.close()


async def test_a_removal_that_timed_out_keeps_the_slot_until_the_media_process_has_confirmed_it(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    stop_for(supervisor.pids[0], ANSWER_SECONDS + 0.5)
    await supervisor.detach(call.slot)
    call.pair.close()
    released: list[int] = []
    supervisor.when_detached(call.slot, partial(released.append, call.slot))
    assert released == []
    await until(lambda: released == [call.slot])
    assert can_be_bound(call)


async def test_a_slot_that_waits_for_its_removal_is_free_when_its_media_process_has_died(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    pid = supervisor.pids[0]
    os.kill(pid, signal.SIGSTOP)
    await supervisor.detach(call.slot)
    released: list[int] = []
    supervisor.when_detached(call.slot, partial(released.append, call.slot))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: released == [call.slot])


async def test_a_control_loop_that_stands_still_fails_no_attach(supervisor: MediaSupervisor) -> None:
    calls = [MediaCall(supervisor) for _ in range(5)]
    attaching = [asyncio.create_task(supervisor.attach(call.attachment)) for call in calls]
    await asyncio.sleep(0)
    time.sleep(ANSWER_SECONDS + 0.2)  # noqa: ASYNC251 the loop stands still, on purpose
    assert supervisor.workers_up() == 1
    await asyncio.gather(*attaching)
    assert supervisor.workers_up() == 1
    for call in calls:
        await call.round_trip(1)
        call.close()


async def test_a_call_that_the_media_process_lost_is_given_to_it_again(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    process = supervisor._workers[0].process
    await process.command({"do": "remove", "slot": call.slot})
    await call.round_trip(1)
    assert await process.ping() == {call.slot}


async def test_a_slot_that_no_call_has_is_removed_from_the_media_process(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    worker = supervisor._workers[0]
    del worker.attachments[call.slot]
    await until_holds(worker.process, frozenset())


async def until_holds(process: MediaProcess, slots: frozenset[int]) -> None:
    async def holds() -> bool:
        return await process.ping() == slots

    await until(holds)


async def test_a_process_that_could_not_stand_by_for_want_of_descriptors_does_so_later(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    first = supervisor.standby_pid
    assert first is not None
    with no_free_descriptor():
        os.kill(supervisor.pids[0], signal.SIGKILL)
        # The process that stood by takes the calls. No other can be started now.
        await call.round_trip(1)
        assert (supervisor.pids, supervisor.standby_pid) == ([first], None)
        await asyncio.sleep(0.3)
    await until(lambda: supervisor.standby_pid is not None, within_seconds=10)
    await call.round_trip(2)


async def test_a_media_process_that_could_not_be_started_is_started_later_with_its_calls(
    supervisor: MediaSupervisor, call: MediaCall
) -> None:
    standby = supervisor.standby_pid
    assert standby is not None
    with no_free_descriptor():
        for pid in (standby, supervisor.pids[0]):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: supervisor.pids == [])
        await asyncio.sleep(0.3)
    await call.round_trip(1)
    await until(lambda: supervisor.standby_pid is not None, within_seconds=20)
