"""A real relay process with live calls of the stand-in that is stopped once, twice, or without an Asterisk."""

from __future__ import annotations

import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from relay_process import APPLICATION, RelayProcess, relay_process, relay_settings, talking

from rtppool_callgen.stand_in.ari_server import make_ari
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_callgen.stand_in.switchboard import SwitchboardError
from rtppool_core.contract.port_range import PortRange
from rtppool_core.net.http_endpoints import listen
from rtppool_core.net.listeners import open_listeners
from rtppool_core.process.node_turn import NodeTurn
from rtppool_testing.ports import LOOPBACK, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
CALLS = 20


@pytest.fixture
def ports() -> PortRange:
    return free_range(CALLS + 5)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "relay.log"


async def under_calls(relay: RelayProcess, stand_in: StandIn, calls: int = CALLS) -> list[str]:
    await until(relay.connected, "the relay takes calls")
    callers = [stand_in.place_call(APPLICATION) for _ in range(calls)]
    await talking(stand_in, callers)
    return callers


@asynccontextmanager
async def away(stand_in: StandIn) -> AsyncIterator[None]:
    """Take ARI away, so that events are lost, while callers talk on."""
    assert stand_in._runner is not None
    await stand_in._runner.cleanup()
    yield
    app = make_ari(stand_in.switchboard, stand_in.hub, stand_in, "relay", lambda: "secret")
    stand_in._runner, _ = await listen(app, LOOPBACK, stand_in._port, bounded=False)


def log_of(relay: RelayProcess) -> str:
    return relay.log.read_text()


async def test_live_calls_go_on_after_a_sigterm_and_the_relay_ends_with_the_last_of_them(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    async with relay_process(relay_settings(stand_in, echo_port, ports), log) as relay:
        callers = await under_calls(relay, stand_in)
        relay.signal(signal.SIGTERM)
        stand_in_calls = len(stand_in.ended)

        async def draining() -> bool:
            status = await relay.get("/status")
            return bool(status["draining"]) and status["drainDeadlineSeconds"] == 3600

        await until(draining, "draining, with its deadline")
        assert "draining: no new calls are taken" in (await relay.get("/ready"))["problems"]
        stand_in.place_call(APPLICATION)
        await until(lambda: len(stand_in.ended) > stand_in_calls, "a new caller is sent back")
        assert stand_in.ended[-1].refused == "Draining"
        await talking(stand_in, callers, packets=20)
        for caller in callers:
            stand_in.hang_up(caller)
        assert await relay.exit_code() == 0
        assert f"drained ended={CALLS} cut=0" in log_of(relay)
        assert not stand_in.switchboard.channels
        assert not stand_in.switchboard.bridges


async def test_a_second_sigterm_gives_all_callers_back_to_the_dialplan_at_once(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    async with relay_process(relay_settings(stand_in, echo_port, ports), log) as relay:
        await under_calls(relay, stand_in)
        relay.signal(signal.SIGTERM)
        await until(lambda: "draining" in log_of(relay), "draining")
        relay.signal(signal.SIGTERM)
        assert await relay.exit_code() == 0
        assert f"drained ended=0 cut={CALLS}" in log_of(relay)
        assert len(stand_in.ended) == CALLS
        assert not stand_in.switchboard.channels
        assert not stand_in.switchboard.bridges


async def test_calls_that_outlast_the_deadline_are_cut(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    settings = relay_settings(stand_in, echo_port, ports, DRAIN_GRACE_SEC="0.5")
    async with relay_process(settings, log) as relay:
        await under_calls(relay, stand_in)
        relay.signal(signal.SIGTERM)
        assert await relay.exit_code() == 0
        assert f"drained ended=0 cut={CALLS}" in log_of(relay)
        assert not stand_in.switchboard.channels


async def test_an_asterisk_that_went_away_keeps_no_relay_from_ending(
    echo_port: int, ports: PortRange, log: Path
) -> None:
    async with StandIn(LOOPBACK, 0, "relay", "secret") as asterisk:
        settings = relay_settings(asterisk, echo_port, ports, DRAIN_GRACE_SEC="0.5")
        async with relay_process(settings, log) as relay:
            await under_calls(relay, asterisk)
            await asterisk.__aexit__()
            relay.signal(signal.SIGTERM)
            assert await relay.exit_code() == 0
            assert f"cut={CALLS}" in log_of(relay)


async def test_calls_that_end_while_asterisk_is_away_end_the_drain_when_it_is_back(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    async with relay_process(relay_settings(stand_in, echo_port, ports), log) as relay:
        callers = await under_calls(relay, stand_in)
        relay.signal(signal.SIGTERM)
        await until(lambda: "draining" in log_of(relay), "draining")
        async with away(stand_in):
            for caller in callers:
                stand_in.hang_up(caller)
        assert await relay.exit_code() == 0
        assert f"drained ended={CALLS} cut=0" in log_of(relay)


async def test_the_next_relay_takes_over_what_a_relay_left_and_measures_each_call_s_gap(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover")
    async with relay_process(settings, log) as first:
        callers = await under_calls(first, stand_in)
        assert "drainDeadlineSeconds" not in await first.get("/status")
        held = {call["channelId"]: call["port"] for call in (await first.get("/calls"))["live"]}
        first.signal(signal.SIGTERM)
        assert await first.exit_code() == 0
        assert set(stand_in.callers()) == set(callers)
        assert f"calls are left to the next relay calls={CALLS}" in log_of(first)
    async with relay_process(settings, log) as second:
        await talking(stand_in, callers, packets=20)

        async def all_known() -> bool:
            return (await second.calls()).get("gap", {}).get("samples") == CALLS

        await until(all_known, "the gap of every call")
        counts, live = await second.calls(), (await second.get("/calls"))["live"]
        assert (counts["adopted"], counts["handedOver"]) == (CALLS, CALLS)
        assert {call["channelId"]: call["port"] for call in live} == held
        assert all(call["adopted"] for call in live)
        longest = max(call["gapMilliseconds"] for call in live)
        assert longest == counts["gap"]["maxMicroseconds"] // 1000
        assert stand_in.switchboard.variables == {}
        with capsys.disabled():
            print(f"\nhand-over of {CALLS} calls: longest gap {longest} ms")  # noqa: T201 a figure, not a judgement
        for caller in callers:
            stand_in.hang_up(caller)
        await until(lambda: not stand_in.switchboard.channels, "nothing is left")
        second.signal(signal.SIGTERM)
        assert await second.exit_code() == 0


async def test_a_relay_that_stands_by_takes_over_at_once_and_never_serves_before(
    stand_in: StandIn, echo_port: int, ports: PortRange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turn = f"rtp-pool-test/{secrets.token_hex(8)}"
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover", NODE_TURN=turn)
    async with (
        relay_process(settings, tmp_path / "first.log") as first,
        relay_process(settings, tmp_path / "second.log") as second,
    ):
        # Either of the two may have the turn.
        await until(lambda: "standing by" in log_of(first) + log_of(second), "one stands by")
        serving, following = (second, first) if "standing by" in log_of(first) else (first, second)
        callers = await under_calls(serving, stand_in)
        assert "relay started" not in log_of(following)
        serving.signal(signal.SIGTERM)
        assert await serving.exit_code() == 0

        async def all_known() -> bool:
            return (await following.calls()).get("gap", {}).get("samples") == CALLS

        await until(all_known, "the gap of every call")
        await talking(stand_in, callers)
        counts = await following.calls()
        assert counts["handedOver"] == CALLS
        with capsys.disabled():
            longest = counts["gap"]["maxMicroseconds"] // 1000
            print(f"\nhand-over of {CALLS} calls to a relay that stood by: longest gap {longest} ms")  # noqa: T201 a figure
        for caller in callers:
            stand_in.hang_up(caller)
        await until(lambda: not stand_in.switchboard.channels, "nothing is left")


async def test_a_relay_that_stands_by_ends_at_once_when_it_is_stopped(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    name = f"rtp-pool-test/{secrets.token_hex(8)}"
    former = NodeTurn(name)
    await former.take(lambda: None)
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover", NODE_TURN=name)
    async with relay_process(settings, log) as relay:
        await until(lambda: "standing by" in log_of(relay), "it stands by")
        relay.signal(signal.SIGTERM)
        await relay.exit_code()
        assert "relay started" not in log_of(relay)
    former.release()


async def test_a_relay_waits_for_the_http_port_of_a_former_relay_without_turns(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    turn = f"rtp-pool-test/{secrets.token_hex(8)}"
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover", NODE_TURN=turn)
    former = open_listeners(LOOPBACK, int(settings["HTTP_PORT"]))
    async with relay_process(settings, log) as relay:
        await until(lambda: "standing by until the HTTP port is free" in log_of(relay), "it stands by")
        for listener in former:
            listener.close()
        await until(relay.connected, "the relay takes calls")


async def test_after_a_kill_the_gap_is_not_known_and_not_zero(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover")
    async with relay_process(settings, log) as first:
        callers = await under_calls(first, stand_in)
        first.signal(signal.SIGKILL)
        await first.exit_code()
    async with relay_process(settings, log) as second:
        await talking(stand_in, callers, packets=20)

        async def all_adopted() -> bool:
            return (await second.calls())["adopted"] == CALLS

        await until(all_adopted, "every call is adopted")
        counts, live = await second.calls(), (await second.get("/calls"))["live"]
        assert counts["handedOver"] == 0
        assert "gap" not in counts
        assert not any("gapMilliseconds" in call for call in live)


async def test_a_caller_who_comes_during_a_hand_over_is_in_the_dialplan_or_with_the_next_relay(
    stand_in: StandIn, echo_port: int, ports: PortRange, log: Path
) -> None:
    settings = relay_settings(stand_in, echo_port, ports, ON_STOP="handover")
    async with relay_process(settings, log) as first:
        await under_calls(first, stand_in, calls=1)
        first.signal(signal.SIGTERM)
        waiting = []
        while stand_in.switchboard.is_registered(APPLICATION):
            try:
                waiting.append(stand_in.place_call(APPLICATION))
            except SwitchboardError:
                break
            if len(waiting) == 10:
                break
        assert await first.exit_code() == 0
    async with relay_process(settings, log):
        assert waiting
        await talking(stand_in, waiting)
        assert not stand_in.ended
