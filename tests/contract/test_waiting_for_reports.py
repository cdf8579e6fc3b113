"""The operator's requests at a real relay, which holds them until its report changes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from in_process import http_of, in_process
from relay_process import relay_process

from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Report
from rtppool_operator.pools.spec import RelayPod
from rtppool_operator.relays.polling import Poller
from rtppool_relay.app import Relay
from rtppool_relay.settings import read_settings
from rtppool_testing.echo import echo
from rtppool_testing.ports import LOOPBACK, free_port, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(120)


def settings(echo_port: int, pools: Path, **others: str) -> dict[str, str]:
    return {
        "NODE_NAME": "node-1",
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(free_port()),
        "ECHO_PORT": str(echo_port),
        "PORT_RANGE": str(free_range(4)),
        "POOL_CONFIG": str(pools),
        "HOST_WITNESSES": "off",
        **others,
    }


def pod(variables: dict[str, str]) -> RelayPod:
    return RelayPod("relay-1", "uid-1", "node-1", LOOPBACK, int(variables["HTTP_PORT"]))


@asynccontextmanager
async def poller() -> AsyncIterator[Poller]:
    made = Poller(None)
    try:
        yield made
    finally:
        await made.close()


def write_pool(pools: Path, generation: int, ports: PortRange, echo_port: int) -> None:
    """Replace the file as the kubelet does."""
    entry = PoolEntry(
        "default", "voice", "u-1", generation, (NodeAssignment("node-1"),), ports, echo=EchoTarget(LOOPBACK, echo_port)
    )
    new = pools.with_suffix(".new")
    new.write_text(encode(PoolsDocument((entry,))))
    new.rename(pools)


async def ask_until(asked: Poller, relay: RelayPod, meets: Callable[[Report], bool]) -> None:
    """Ask again and again, as the operator does."""
    async with asyncio.timeout(60):
        while uid_report(asked) is None or not meets(asked.last_reports[relay.uid].report):
            await asyncio.sleep(await asked.ask(relay))


def uid_report(asked: Poller) -> Report | None:
    last = asked.last_reports.get("uid-1")
    return None if last is None else last.report


async def test_an_applied_edit_is_in_the_answer_to_the_request_that_waits(tmp_path: Path) -> None:
    pools = tmp_path / "pools.json"
    async with echo() as port, poller() as asked:
        variables = settings(port, pools)
        relay = Relay(read_settings(variables))
        async with in_process(relay):
            await ask_until(asked, pod(variables), lambda report: report.ready and report.echo.reachable is True)
            waiting = asyncio.create_task(ask_until(asked, pod(variables), lambda r: r.applied_generation == 7))
            waits = http_of(relay).waits
            await until(lambda: waits.held == 1, "the request waits")
            answers = asked.polls
            write_pool(pools, 7, free_range(4), port)
            await waiting
            assert asked.polls - answers <= 1, "the waiting request, or the next one where the echo came first"
            assert asked.failures == {}


async def test_a_relay_without_calls_sends_no_report_while_nothing_changes(tmp_path: Path) -> None:
    async with echo() as port, poller() as asked:
        variables = settings(port, tmp_path / "pools.json")
        relay = Relay(read_settings(variables))
        async with in_process(relay):
            await ask_until(asked, pod(variables), lambda report: report.ready and report.echo.reachable is True)
            before = asked.last_reports["uid-1"]
            await asked.ask(pod(variables))
            after = asked.last_reports["uid-1"]
            assert after.report is before.report
            assert after.until_seconds - before.until_seconds >= 1, "the answer came after its wait"


@pytest.mark.parametrize("on_stop", ["drain", "handover"])
async def test_a_request_that_waits_does_not_delay_the_end_of_a_relay(tmp_path: Path, on_stop: str) -> None:
    async with echo() as port, poller() as asked:
        variables = settings(port, tmp_path / "pools.json", ON_STOP=on_stop)
        async with relay_process(variables, tmp_path / "log") as relay:
            await ask_until(asked, pod(variables), lambda report: report.ready and report.echo.reachable is True)
            held = asyncio.create_task(asked.ask(pod(variables)))
            await asyncio.sleep(0.5)
            relay.signal(signal.SIGTERM)
            assert await relay.exit_code() == os.EX_OK
            await held
            if on_stop == "drain":
                report = uid_report(asked)
                assert report is not None
                assert report.draining or asked.failures
