"""A whole relay — media process, sockets, ARI — against the stand-in and a real echo on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from in_process import http_of, in_process

from rtppool_callgen.stand_in.rtp_source import RtpSource
from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, SlaLimits, encode
from rtppool_relay.app import Relay
from rtppool_relay.calls import sound
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.figures import admission
from rtppool_relay.settings import Settings, read_settings
from rtppool_testing.echo import echo as run_echo
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
APPLICATION = "rtp-pool"
IDS = CallIds.of_relay("node-1", APPLICATION)


class Echo(asyncio.DatagramProtocol):
    """An echo that a test can silence."""

    answers = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        if self.answers:
            self.transport.sendto(data, address)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


@pytest.fixture
def echo_port(echo: Echo) -> int:
    return int(echo.transport.get_extra_info("sockname")[1])


@pytest.fixture
def settings(stand_in: StandIn, echo_port: int) -> Settings:
    variables = {
        "ARI_URL": stand_in.url,
        "ARI_USER": "relay",
        "ARI_PASS": "secret",
        "APP_NAME": APPLICATION,
        "NODE_NAME": "node-1",
        "BIND_IP": "127.0.0.1",
        "ADVERTISE_IP": "127.0.0.1",
        "HTTP_BIND": "127.0.0.1",
        "ECHO_PORT": str(echo_port),
        "PORT_RANGE": str(free_range(4)),
        "POOL_CONFIG": "/nowhere/pools.json",
        "METRICS_INTERVAL_SEC": "0.2",
    }
    return replace(read_settings(variables), http_port=0)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Relay]:
    """Run a relay that ends as a killed process does: no call is torn down in Asterisk."""
    relay = Relay(settings)
    async with in_process(relay):
        yield relay


async def connected(relay: Relay, stand_in: StandIn) -> None:
    await until(lambda: relay._telephony.ari_report().state == "Connected", "relay connected to Asterisk")
    await until(lambda: relay._call_ports.resolver.address is not None, "echo resolved")
    assert stand_in.switchboard.is_registered(APPLICATION)


async def talking(relay: Relay, stand_in: StandIn, caller: str, packets: int = 10) -> None:
    await until(lambda: stand_in.packets(caller)[1] >= packets, f"{packets} packets back at {caller}")
    await until(
        lambda: any(call.channel_id == caller and call.state == "talking" for call in relay._telephony.live_calls()),
        f"{caller} talks",
    )


async def cleared(relay: Relay, stand_in: StandIn) -> None:
    await until(lambda: not stand_in.switchboard.channels, "no channel left")
    await until(lambda: not stand_in.switchboard.bridges, "no bridge left")
    await until(lambda: relay._ports.report().leased == 0, "no port leased")
    await until(lambda: relay._telephony.active_calls == 0, "no call left")


async def test_a_call_s_packets_come_back_to_its_caller_and_nothing_is_left_when_it_hangs_up(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(settings) as relay:
        await connected(relay, stand_in)
        caller = stand_in.place_call(APPLICATION, number="4940123456")
        await talking(relay, stand_in, caller, packets=30)
        live = relay._telephony.live_calls()[0]
        assert live.port in settings.port_range
        assert live.caller_number == "********56"
        assert live.sip_call_id == "call-1@127.0.0.1"
        stand_in.hang_up(caller)
        await cleared(relay, stand_in)
        record = relay._telephony.recent_calls()[0]
        sent, returned = stand_in.ended[0].sent, stand_in.ended[0].returned
        assert sent - 2 <= returned <= sent
        assert record.ended_by == "callerGone"
        assert record.figures is not None
        assert record.figures.packets >= 30
        assert record.figures.answered == record.figures.packets
        assert record.figures.p50_microseconds is not None
        assert record.media == "flowing"
        report = relay._telephony.calls_report()
        assert (report.arrived, report.ended, report.ended_by) == (1, 1, {"callerGone": 1})
        assert report.setup is not None
        assert report.setup.samples == 1
        assert report.first_return is not None
        assert (report.first_return.samples, record.first_return_microseconds is not None) == (1, True)


async def test_at_the_longest_interval_figures_are_collected_every_second_and_the_host_is_witnessed(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(replace(settings, metrics_interval_seconds=10)) as relay:
        await connected(relay, stand_in)
        await talking(relay, stand_in, stand_in.place_call(APPLICATION))
        total = relay._measurement.kinds["calls"].store.total
        await until(lambda: total.packets > 0, "first packets collected")
        first = total.packets
        await until(lambda: total.packets > first, "further packets collected")
        # Ten seconds have 500.
        assert total.packets - first < 400
        await until(lambda: total.late(judge_host=False).host is not None, "a heartbeat watched a packet")


async def test_a_heartbeat_that_is_killed_is_an_absent_witness_until_the_next_one_and_no_call_notices(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(settings) as relay:
        await connected(relay, stand_in)
        heartbeat, host = relay._heartbeat, relay._measurement.host
        await until(lambda: host.absent is not None and "heartbeat" not in host.absent, "the heartbeat is a witness")
        caller = stand_in.place_call(APPLICATION)
        await talking(relay, stand_in, caller)
        first = heartbeat.pid
        assert first is not None
        # It cannot start again before its absence is seen.
        with patch.object(heartbeat._supervisor, "_spawn", side_effect=OSError("no process")):
            os.kill(first, signal.SIGKILL)
            await until(lambda: host.absent is not None and "heartbeat" in host.absent, "the witness is absent")
            assert host.absent is not None
            assert host.absent["heartbeat"] == "the heartbeat ended with code -9 and is started again"
            await talking(relay, stand_in, caller, packets=stand_in.packets(caller)[1] + 20)
        await until(lambda: host.absent is not None and "heartbeat" not in host.absent, "the next one is a witness")
        assert heartbeat.pid != first


async def test_without_host_witnesses_no_heartbeat_runs_and_no_host_time_is_shown(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(replace(settings, host_witnesses=False)) as relay:
        await connected(relay, stand_in)
        await talking(relay, stand_in, stand_in.place_call(APPLICATION))
        total = relay._measurement.kinds["calls"].store.total
        await until(lambda: total.packets > 0, "packets collected")
        assert relay._heartbeat.pid is None
        assert relay._measurement.host.absent is None


async def test_every_port_takes_a_call_and_the_next_one_gets_the_reason(settings: Settings, stand_in: StandIn) -> None:
    async with running(settings) as relay:
        await connected(relay, stand_in)
        await until(lambda: relay._ports.probe_port is not None, "the probe runs")
        callers = [stand_in.place_call(APPLICATION) for _ in range(4)]
        for caller in callers:
            await talking(relay, stand_in, caller)
        assert relay._ports.report().quarantined == 0
        stand_in.place_call(APPLICATION)
        await until(lambda: bool(stand_in.ended), "the fifth is sent back")
        assert (stand_in.ended[0].refused, stand_in.ended[0].answered) == ("NoFreePort", False)
        # The refusal is counted once Asterisk's answer to the last request has arrived.
        await until(lambda: relay._telephony.calls_report().refused == {"NoFreePort": 1}, "the refusal is counted")
        record, refusals = relay._telephony.recent_calls()[0], relay._telephony.calls_report().refusal
        assert "all 4 ports" in (record.refusal or "")
        assert record.refusal_milliseconds is not None
        assert refusals is not None
        assert refusals.samples == 1
        for caller in callers:
            stand_in.hang_up(caller)
        await cleared(relay, stand_in)


async def test_a_restarted_relay_adopts_the_calls_that_go_on(settings: Settings, stand_in: StandIn) -> None:
    async with running(settings) as first:
        await connected(first, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(first, stand_in, caller)
        port = first._telephony.live_calls()[0].port
    before = stand_in.packets(caller)[1]
    async with running(settings) as second:
        await talking(second, stand_in, caller, packets=before + 20)
        live = second._telephony.live_calls()[0]
        assert (live.adopted, live.port) == (True, port)
        assert second._telephony.calls_report().adopted == 1
        stand_in.hang_up(caller)
        await cleared(second, stand_in)


async def test_a_call_on_a_port_outside_the_new_range_is_adopted_as_well(settings: Settings, stand_in: StandIn) -> None:
    async with running(settings) as first:
        await connected(first, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(first, stand_in, caller)
        another = free_range(2)
    before = stand_in.packets(caller)[1]
    async with running(replace(settings, port_range=another)) as second:
        await talking(second, stand_in, caller, packets=before + 10)
        assert second._ports.report().draining == 1
        stand_in.hang_up(caller)
        await cleared(second, stand_in)


async def test_a_caller_who_hangs_up_during_the_set_up_leaves_nothing_behind(
    settings: Settings, stand_in: StandIn
) -> None:
    # Each caller takes a port that has not been used.
    async with running(replace(settings, port_range=free_range(20))) as relay:
        await connected(relay, stand_in)
        for delay_seconds in (0, 0.002, 0.005, 0.01, 0.02):
            for _ in range(3):
                caller = stand_in.place_call(APPLICATION)
                await asyncio.sleep(delay_seconds)
                stand_in.hang_up(caller)
            await cleared(relay, stand_in)


async def test_a_call_that_gets_nothing_back_is_named_one_way_until_it_does(
    settings: Settings, stand_in: StandIn, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound, "ONE_WAY_AFTER_SECONDS", 0.5)
    async with running(settings) as relay:
        await connected(relay, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(relay, stand_in, caller)
        echo.answers = False
        await until(lambda: relay._telephony.calls_report().one_way == 1, "one-way")
        assert relay._telephony.live_calls()[0].media == "oneWay"
        echo.answers = True
        await until(lambda: relay._telephony.live_calls()[0].media == "flowing", "flowing again")
        report = relay._telephony.calls_report()
        assert (report.one_way, report.went_one_way, report.went_silent) == (0, 1, 0)
        stand_in.hang_up(caller)
        await cleared(relay, stand_in)


async def test_bytes_from_asterisk_that_are_no_rtp_are_counted_and_not_forwarded(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(settings) as relay:
        await connected(relay, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(relay, stand_in, caller)
        leg = stand_in.player.leg(IDS.media(caller))
        assert leg is not None
        for junk in (b"", b"x", bytes(12), b"\x80\xc8" + bytes(30), b"\x9f" + bytes(20)):
            leg.socket.send(junk)

        def dropped() -> dict[str, int]:
            return relay._measurement.dropped()

        await until(lambda: sum(dropped().values()) >= 5, "5 counted")
        assert (dropped()["short"], dropped()["version"], dropped()["rtcp"], dropped()["truncated"]) == (2, 1, 1, 1)
        assert leg.source.foreign == 0
        stand_in.hang_up(caller)
        await cleared(relay, stand_in)


async def test_a_stranger_s_packet_to_a_call_s_port_does_not_arrive(settings: Settings, stand_in: StandIn) -> None:
    async with running(settings) as relay:
        await connected(relay, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(relay, stand_in, caller)
        port = relay._telephony.live_calls()[0].port
        forged = RtpSource(ssrc=7, sequence=0, timestamp=0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.setblocking(False)
            for _ in range(500):
                stranger.sendto(forged.next_packet(), ("127.0.0.1", port or 0))
            await talking(relay, stand_in, caller, packets=stand_in.packets(caller)[1] + 10)
            with pytest.raises(BlockingIOError):
                stranger.recv(2048)
        figures = relay._telephony.live_calls()[0].figures
        assert figures is not None
        assert figures.packets <= stand_in.packets(caller)[0]
        assert sum(relay._measurement.dropped().values()) == 0
        stand_in.hang_up(caller)
        await cleared(relay, stand_in)


async def stumble(process: int) -> None:
    """Stop a process for most of the time, as where it gets too little of its processor."""
    try:
        while True:
            os.kill(process, signal.SIGSTOP)
            await asyncio.sleep(0.12)
            os.kill(process, signal.SIGCONT)
            await asyncio.sleep(0.08)
    finally:
        os.kill(process, signal.SIGCONT)


def generous_pool(settings: Settings) -> str:
    """Return a pool whose limits a busy machine keeps, and a process that is stopped most of the time breaks."""
    entry = PoolEntry(
        name="generous",
        namespace="default",
        uid="1",
        generation=1,
        nodes=(NodeAssignment("node-1", "127.0.0.1"),),
        port_range=free_range(12),
        echo=settings.echo,
        sla=SlaLimits(late_threshold_microseconds=20_000, max_late_ppm=100_000, tiers=(), min_samples=400),
    )
    return encode(PoolsDocument((entry,)))


async def test_a_relay_whose_media_process_falls_behind_refuses_callers_unanswered_and_takes_them_again_later(
    settings: Settings, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WINDOW_SECONDS", 2)
    monkeypatch.setattr(admission, "MIN_SECONDS", 2)
    monkeypatch.setattr(admission, "MIN_PACKETS", 400)
    monkeypatch.setattr(admission, "GOOD_SECONDS_TO_ACCEPT", 2)
    pools = tmp_path / "pools.json"
    pools.write_text(generous_pool(settings))
    async with running(replace(settings, pool_config=pools)) as relay:
        await connected(relay, stand_in)
        callers = [stand_in.place_call(APPLICATION) for _ in range(10)]
        for caller in callers:
            await talking(relay, stand_in, caller)
        control = relay._measurement.admission
        (media_process,) = relay._supervisor.pids
        assert control.refusal is None
        stumbling = asyncio.create_task(stumble(media_process))
        await until(lambda: control.refusal is not None, "overload noticed")
        stumbling.cancel()
        await asyncio.gather(stumbling, return_exceptions=True)
        stand_in.place_call(APPLICATION)
        await until(lambda: bool(stand_in.ended), "a caller is sent back")
        assert (stand_in.ended[0].refused, stand_in.ended[0].answered) == ("Overloaded", False)
        await until(lambda: bool(relay._telephony.recent_calls()), "the refused call is recorded")
        assert "one call more would break its tier" in (relay._telephony.recent_calls()[0].refusal or "")
        assert stand_in.callers() == callers
        await until(lambda: control.refusal is None, "the relay takes calls again")
        await talking(relay, stand_in, stand_in.place_call(APPLICATION))


async def test_an_overloaded_relay_adopts_calls_all_the_same_and_takes_callers_where_admission_is_off(
    settings: Settings, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission.AdmissionControl, "refusal", "overloaded")
    async with running(replace(settings, admission=False)) as first:
        await connected(first, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(first, stand_in, caller)
    before = stand_in.packets(caller)[1]
    async with running(settings) as second:
        await talking(second, stand_in, caller, packets=before + 10)
        assert second._telephony.live_calls()[0].adopted
        stand_in.place_call(APPLICATION)
        await until(lambda: bool(stand_in.ended), "a new caller is sent back")
        assert stand_in.ended[0].refused == "Overloaded"


async def test_a_port_that_another_process_holds_is_a_finding_and_the_relay_is_ready_all_the_same(
    settings: Settings,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", settings.port_range.start))
        async with running(settings) as relay:
            http = http_of(relay)
            await until(lambda: http.status.ready().ok, "ready")
            findings = http.status.ready().findings
            assert any("1 of 4 ports" in sentence and "ss -aunp" in sentence for sentence in findings)
            codes = {finding.code: finding.inferred for finding in http.snapshot().report.preflight}
            assert codes["PortsNotBound"] is False


async def test_a_relay_bound_to_all_of_ipv6_takes_calls_and_probes_where_asterisk_gets_an_ipv4_address(
    settings: Settings, stand_in: StandIn
) -> None:
    async with running(replace(settings, bind_ip="::")) as relay:
        await connected(relay, stand_in)
        await until(lambda: relay._measurement.echo.reachable is True, "the probe's packets come back")
        await talking(relay, stand_in, stand_in.place_call(APPLICATION))


async def test_a_call_over_ipv6_alone_comes_back_to_its_caller(settings: Settings, stand_in: StandIn) -> None:
    async with (
        run_echo("::1") as port,
        running(replace(settings, bind_ip="::", advertise_ip="::1", echo=EchoTarget("::1", port))) as relay,
    ):
        await connected(relay, stand_in)
        caller = stand_in.place_call(APPLICATION)
        await talking(relay, stand_in, caller)
        assert (relay._telephony.live_calls()[0].asterisk or "").startswith("[::1]:")
        stand_in.hang_up(caller)
        await cleared(relay, stand_in)
