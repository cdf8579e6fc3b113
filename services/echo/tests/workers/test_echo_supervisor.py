"""Reflecting processes that can't be started for a while, because descriptors or memory ran out."""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from rtppool_core.net.udp import BindError
from rtppool_core.process.service import Stop
from rtppool_echo.app import Echo
from rtppool_echo.settings import Settings
from rtppool_echo.workers import sockets, supervisor
from rtppool_echo.workers.sockets import bind_sockets
from rtppool_echo.workers.supervisor import WorkerError
from rtppool_testing.packets import rtp_packet
from rtppool_testing.waiting import until

Run = Callable[[Settings], AbstractAsyncContextManager[Any]]
SHORTAGES = pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])


class Shortage:
    """Makes pipes, and fails for the next `failures` of them."""

    def __init__(self, number: int, failures: int) -> None:
        self._error = OSError(number, os.strerror(number))
        self._pipe = os.pipe
        self.failures = failures

    def pipe(self) -> tuple[int, int]:
        if self.failures:
            self.failures -= 1
            raise self._error
        return self._pipe()


@SHORTAGES
async def test_a_process_that_can_not_be_started_at_first_is_retried(
    run_echo: Run, settings: Settings, client: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    shortage = Shortage(number, 4)
    monkeypatch.setattr(supervisor.os, "pipe", shortage.pipe)
    async with run_echo(settings) as echo:
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        assert (await client.receive())[0] == rtp_packet(1)
    assert shortage.failures == 0


@SHORTAGES
async def test_a_killed_process_is_started_again_after_a_shortage(
    run_echo: Run,
    settings: Settings,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
) -> None:
    shortage = Shortage(number, 0)
    monkeypatch.setattr(supervisor.os, "pipe", shortage.pipe)
    async with run_echo(settings) as echo:
        shortage.failures = 4
        os.kill(echo.echo.supervisor.pids[0], signal.SIGKILL)
        # The killed process may take packets with it.
        numbers = itertools.count(1)

        async def answers() -> bool:
            client.send(rtp_packet(next(numbers)), "127.0.0.1", echo.port)
            try:
                await client.receive(0.5)
            except TimeoutError:
                return False
            return True

        await until(answers, "the echo answers again")
        assert shortage.failures == 0
    reasons = [record.fields["reason"] for record in caplog.records if "can't be started" in record.message]  # type: ignore[attr-defined]
    assert len(reasons) == 4
    assert all(os.strerror(number) in reason for reason in reasons)


async def test_a_process_that_stands_still_for_good_is_replaced_and_its_datagrams_are_answered(
    run_echo: Run, settings: Settings, client: Any
) -> None:
    async with run_echo(settings) as echo:
        before = echo.echo.supervisor.pids
        os.kill(before[0], signal.SIGSTOP)
        client.send(rtp_packet(1), "127.0.0.1", echo.port)
        assert (await client.receive(30))[0] == rtp_packet(1)
        assert echo.echo.supervisor.pids != before
        assert echo.echo.supervisor.restarts == 1


async def test_a_process_that_can_not_be_started_at_all_ends_the_echo_with_a_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.os, "pipe", Shortage(errno.EMFILE, 1_000_000).pipe)
    monkeypatch.setattr(supervisor, "START_WITHIN_SECONDS", 0.2)
    with pytest.raises(WorkerError, match=r"a reflecting process did not start within 0\.2 s"):
        await Echo(settings).run(Stop())


def test_a_socket_that_can_not_be_made_is_a_sentence_and_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = sockets._udp_socket

    def one_then_none(address: str) -> Any:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(make(address))
        return made[0]

    monkeypatch.setattr(sockets, "_udp_socket", one_then_none)
    with pytest.raises(BindError, match="Too many open files"):
        bind_sockets("127.0.0.1", 0, 2)
    assert made[0].fileno() == -1
