"""The media process that is started before everything else."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from media_call import MediaCall

from rtppool_relay.media.launch import start_first_media_process
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)


async def test_calls_go_to_the_process_that_was_started_first_and_to_another_when_it_is_killed() -> None:
    first = start_first_media_process()
    supervisor = MediaSupervisor(1, first)
    call = MediaCall(supervisor)
    try:
        await supervisor.start()
        await supervisor.attach(call.attachment)
        await call.round_trip(1)
        assert supervisor.pids == [first.process.pid]
        os.kill(first.process.pid, signal.SIGKILL)
        await until(lambda: supervisor.restarts == 1)
        await until(lambda: supervisor.workers_up() == 1)
        await call.round_trip(2)
    finally:
        await supervisor.close()
        call.close()


async def test_a_process_without_a_supervisor_ends_with_its_command_socket() -> None:
    first = start_first_media_process()
    first.commands.close()
    os.close(first.rows_descriptor)
    async with asyncio.timeout(120):
        assert await asyncio.to_thread(first.process.wait) == 0
