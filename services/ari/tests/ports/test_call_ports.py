"""Call ports over real sockets; where packets matter, over a real media process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_relay.config import RelayConfig
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.media.media_process import MediaFault
from rtppool_relay.media.port_sockets import can_bind
from rtppool_relay.media.supervisor import MediaSupervisor
from rtppool_relay.ports.call_ports import REBIND_PAUSE_SECONDS, CallPorts
from rtppool_relay.ports.echo_resolver import EchoResolver
from rtppool_relay.ports.interface import Refused
from rtppool_relay.ports.leak_suspects import MIN_SUSPECTED_SECONDS
from rtppool_relay.ports.leased_port import LeasedPort
from rtppool_relay.ports.port_manager import PortManager
from rtppool_relay.ports.preflight_watch import PreflightWatch
from rtppool_relay.ports.sender_observer import MAX_OBSERVATIONS, MAX_OBSERVED_PACKETS, MAX_OBSERVED_SECONDS
from rtppool_relay.ports.trial_binds import BATCH
from rtppool_relay.streams.steady_clock import SteadyClock
from rtppool_testing.descriptors import no_free_descriptor
from rtppool_testing.packets import rtp_packet
from rtppool_testing.ports import free_range
from rtppool_testing.sockets import address_of, receive, udp_socket
from rtppool_testing.waiting import until


class Bench:
    """Call ports with a clock of the test's, towards an echo of the test's."""

    def __init__(self, size: int = 4, bind_ip: str = "127.0.0.1", advertise: str | None = "127.0.0.1") -> None:
        self.now = 0.0
        self.echo = udp_socket()
        self.config = RelayConfig(free_range(size), EchoTarget("127.0.0.1", address_of(self.echo)[1]), advertise)
        self.ports = PortManager(self.config.port_range)
        self.supervisor = MediaSupervisor(1)
        self.resolver = EchoResolver(self.config.echo, socket.AF_INET)
        self.call_ports = CallPorts(
            config=lambda: self.config,
            bind_ip=bind_ip,
            dscp=46,
            ari_host="127.0.0.1",
            manager=self.ports,
            supervisor=self.supervisor,
            resolver=self.resolver,
            measurement=Measurement(SteadyClock()),
            clock=lambda: self.now,
        )
        self.resolver.address = address_of(self.echo)

    async def close(self) -> None:
        for media in list(self.call_ports._live.values()):
            await media.close()
        await self.supervisor.close()
        self.echo.close()


@asynccontextmanager
async def bench(size: int = 4, bind_ip: str = "127.0.0.1", advertise: str | None = "127.0.0.1") -> AsyncIterator[Bench]:
    one = Bench(size, bind_ip, advertise)
    try:
        yield one
    finally:
        await one.close()


@pytest.fixture
async def still() -> AsyncIterator[Bench]:
    """Without media processes."""
    async with bench() as one:
        yield one


@pytest.fixture
async def running() -> AsyncIterator[Bench]:
    """With a media process."""
    async with bench() as one:
        await one.supervisor.start()
        yield one


@pytest.fixture
def asterisk() -> Iterator[socket.socket]:
    with udp_socket() as sock:
        yield sock


async def test_a_port_that_is_leased_while_the_range_is_tried_stays_its_calls() -> None:
    async with bench(2 * BATCH) as one:
        trying = asyncio.create_task(one.call_ports.try_ports(one.ports.unleased()))
        await asyncio.sleep(0)  # the first trials are made, and others have their turn
        port = one.config.port_range.start + BATCH + 1
        media = await one.call_ports.adopt("call", port)
        await trying
        assert one.ports.is_leased(port)
        assert one.ports.report().quarantined == 0
        await media.close()
        assert one.ports.report().resting == 1


async def test_a_port_that_somebody_else_holds_is_set_aside_and_comes_back(still: Bench) -> None:
    port = still.config.port_range.start
    with udp_socket(port=port):
        await still.call_ports.try_ports(still.ports.unleased())
        assert still.ports.quarantined() == [port]
    await still.call_ports.try_ports(still.ports.quarantined())
    assert still.ports.quarantined() == []


async def test_a_call_whose_port_is_not_let_go_yet_is_adopted_once_it_is(still: Bench) -> None:
    port = still.config.port_range.start
    with udp_socket(port=port):
        with pytest.raises(Refused, match="Address already in use") as refused:
            await still.call_ports.adopt("call", port)
        assert refused.value.reason == "NotReady"  # call_runner tries again
        assert still.ports.report().quarantined == 0
    assert (await still.call_ports.adopt("call", port)).port == port


async def test_a_relay_without_a_media_process_refuses_and_leases_nothing(still: Bench) -> None:
    with pytest.raises(Refused) as refused:
        await still.call_ports.open("call")
    assert refused.value.reason == "MediaDown"
    assert still.ports.report().leased == 0


async def test_a_port_that_asterisk_never_learned_is_free_after_its_release(running: Bench) -> None:
    await (await running.call_ports.open("ghost")).close()
    assert (running.ports.report().free, running.ports.report().resting) == (4, 0)


async def test_a_port_that_was_announced_rests_after_its_release(running: Bench) -> None:
    media = await running.call_ports.open("call")
    assert media.announce() == ("127.0.0.1", media.port)
    await media.close()
    assert (running.ports.report().free, running.ports.report().resting) == (3, 1)


async def test_callers_refused_for_want_of_descriptors_leave_every_port_free(running: Bench) -> None:
    with no_free_descriptor():
        for number in range(8):
            with pytest.raises(Refused, match="no sockets are to be had"):
                await running.call_ports.open(f"call {number}")
    assert (running.ports.report().free, running.ports.report().resting) == (4, 0)


async def test_a_lease_that_belongs_to_no_call_in_two_audits_is_taken_back(still: Bench) -> None:
    leaked, kept = still.ports.lease(0), still.ports.lease(0)
    assert await still.call_ports.audit([kept]) == ()
    still.now = MIN_SUSPECTED_SECONDS
    assert await still.call_ports.audit([kept]) == (leaked,)
    report = still.ports.report()
    assert (report.leaked, report.leased, report.resting) == (1, 1, 1)


async def test_a_lease_that_comes_and_goes_between_audits_is_none(still: Bench) -> None:
    for _ in range(5):
        port = still.config.port_range.start
        assert still.ports.lease_exactly(port)
        assert await still.call_ports.audit([]) == ()
        still.ports.release(port, still.now)
        still.now += MIN_SUSPECTED_SECONDS
    assert still.ports.report().leaked == 0


async def test_a_port_that_a_call_forgot_is_closed_with_its_sockets_and_its_slot(still: Bench) -> None:
    media = await still.call_ports.adopt("forgotten", still.config.port_range.start)
    for _ in range(2):
        await still.call_ports.audit([])
        still.now += MIN_SUSPECTED_SECONDS
    assert can_bind("127.0.0.1", media.port) is None
    assert (still.ports.report().leaked, still.ports.report().leased) == (1, 0)
    assert still.supervisor.slots_in_use() == frozenset()
    assert still.call_ports.active_calls == 0


async def test_a_slot_without_a_port_is_taken_back(still: Bench, caplog: pytest.LogCaptureFixture) -> None:
    slot = still.supervisor.take_slot()
    for _ in range(2):
        await still.call_ports.audit([])
        still.now += MIN_SUSPECTED_SECONDS
    assert still.supervisor.slots_in_use() == frozenset()
    assert f"slot {slot} " in caplog.text


async def test_the_probes_port_and_slot_are_no_leak(still: Bench) -> None:
    probe = still.call_ports.open_probe()
    assert probe is not None
    for _ in range(3):
        assert await still.call_ports.audit([]) == ()
        still.now += MIN_SUSPECTED_SECONDS
    assert still.supervisor.slots_in_use() == {probe.slot}
    await probe.close()


async def test_a_call_gets_the_probes_port_although_a_process_that_is_being_started_still_has_a_copy(
    still: Bench,
) -> None:
    probe = still.call_ports.open_probe()
    assert probe is not None
    copy = os.dup(probe.sockets.echo.fileno())
    asyncio.get_running_loop().call_later(10 * REBIND_PAUSE_SECONDS, os.close, copy)
    media = await still.call_ports.adopt("call", probe.port)
    assert (media.port, still.ports.report().quarantined) == (probe.port, 0)
    await media.close()
    await probe.close()


async def test_an_unspecified_ipv6_bind_address_reaches_an_ipv4_echo_where_asterisk_is_told_an_ipv4_address() -> None:
    async with bench(bind_ip="::") as one:
        media = await one.call_ports.adopt("call", one.config.port_range.start)
        assert media.sockets.echo.getpeername() == address_of(one.echo)
        assert one.resolver.family == socket.AF_INET


async def test_where_nothing_is_configured_asterisk_is_told_our_address_on_the_route_to_it() -> None:
    async with bench(advertise=None) as one:
        assert one.call_ports.advertised_address() == "127.0.0.1"


async def test_while_our_own_address_is_not_known_a_call_is_refused_and_the_probe_runs() -> None:
    async with bench(advertise=None) as one:
        await one.supervisor.start()
        one.call_ports.own_address.address = None
        with pytest.raises(Refused) as refused:
            await one.call_ports.open("call")
        assert refused.value.reason == "NotReady"
        assert one.ports.report().leased == 0
        assert one.call_ports.open_probe() is not None


async def call(one: Bench, asterisk: socket.socket) -> LeasedPort:
    media = await one.call_ports.open("call")
    await media.connect(*address_of(asterisk))
    asterisk.connect(("127.0.0.1", media.port))
    return media


async def aim(one: Bench, echo: socket.socket) -> bool:
    one.resolver.address = address_of(echo)
    return await one.call_ports.move_to_echo()


async def test_two_moves_within_a_moment_lose_no_answer_of_the_echoes_before(
    running: Bench, asterisk: socket.socket
) -> None:
    media = await call(running, asterisk)
    with udp_socket() as second, udp_socket() as third:
        at = ("127.0.0.1", media.port)
        for sequence, echo in enumerate((running.echo, second, third), 1):
            assert await aim(running, echo)
            asterisk.send(rtp_packet(sequence))
            assert await receive(echo) == rtp_packet(sequence)
        for sequence, echo in ((2, second), (1, running.echo), (3, third)):
            echo.sendto(rtp_packet(sequence), at)
            assert await receive(asterisk) == rtp_packet(sequence)


async def test_an_old_echos_socket_is_closed_when_its_answers_count_no_more(
    running: Bench, asterisk: socket.socket
) -> None:
    media = await call(running, asterisk)
    old = media.sockets.echo
    with udp_socket() as second:
        assert await aim(running, second)
        await until(lambda: old.fileno() < 0)
        asterisk.send(rtp_packet(1))
        assert await receive(second) == rtp_packet(1)


async def test_a_move_that_fails_leaves_the_call_where_it_is_and_is_made_up_for(
    running: Bench, asterisk: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    await call(running, asterisk)
    running.resolver.address = ("255.255.255.255", 4000)  # broadcast: the kernel refuses it
    for _ in range(3):
        assert not await running.call_ports.move_to_echo()
    assert len([line for line in caplog.messages if "is not moved to another echo yet" in line]) == 1
    asterisk.send(rtp_packet(1))
    assert await receive(running.echo) == rtp_packet(1)
    with udp_socket() as second:
        assert await aim(running, second)
        asterisk.send(rtp_packet(2))
        assert await receive(second) == rtp_packet(2)


async def test_a_move_that_a_stopped_media_process_does_not_confirm_is_made_up_for(
    running: Bench, asterisk: socket.socket
) -> None:
    await call(running, asterisk)
    (media_process,) = running.supervisor.pids
    with udp_socket() as second:
        os.kill(media_process, signal.SIGSTOP)
        try:
            assert not await aim(running, second)
        finally:
            os.kill(media_process, signal.SIGCONT)
        assert await running.call_ports.move_to_echo()
        asterisk.send(rtp_packet(1))
        assert await receive(second) == rtp_packet(1)


async def test_a_call_that_ends_during_a_move_leaves_no_socket(running: Bench, asterisk: socket.socket) -> None:
    media = await call(running, asterisk)
    with udp_socket() as second:
        moving = asyncio.create_task(aim(running, second))
        await asyncio.sleep(0)
        await media.close()
        await moving
    assert can_bind("127.0.0.1", media.port) is None


async def test_what_a_call_showed_of_asterisk_is_kept_for_preflight(running: Bench, asterisk: socket.socket) -> None:
    await call(running, asterisk)
    port = address_of(asterisk)[1]
    assert running.call_ports.asterisk.local_ports == (port, port)
    assert running.call_ports.asterisk.mismatch is None


async def test_preflight_says_a_finding_once_and_that_it_is_gone(
    still: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = PreflightWatch(lambda: still.config, still.call_ports, None, in_cluster=False)
    port = still.config.port_range.start
    with udp_socket(port=port):
        await still.call_ports.try_ports(still.ports.unleased())
        watch.check()
        watch.check()
    assert "PortsNotBound" in {finding.code for finding in watch.findings}
    assert len([line for line in caplog.messages if "1 of 4 ports" in line]) == 1
    await still.call_ports.try_ports(still.ports.quarantined())
    watch.check()
    assert "PortsNotBound" not in {finding.code for finding in watch.findings}
    assert "preflight: no longer PortsNotBound" in caplog.messages


async def test_without_descriptors_calls_are_refused_with_the_reason_and_no_port_is_set_aside(still: Bench) -> None:
    still.supervisor.workers_up = lambda: 1  # type: ignore[method-assign]
    live = await still.call_ports.open("before")
    with no_free_descriptor():
        for call in range(10):
            with pytest.raises(Refused, match="no sockets are to be had: Too many open files") as refused:
                await still.call_ports.open(f"during {call}")
            assert refused.value.reason == "NotReady"
            still.now += 60
        assert still.call_ports.open_probe() is None
        with pytest.raises(OSError, match="Too many open files"):
            await still.call_ports.try_ports(still.ports.unleased())
    report = still.ports.report()
    assert (report.quarantined, report.leased, live.is_bound) == (0, 1, True)
    still.now += 60
    assert (await still.call_ports.open("after")).is_bound


async def test_a_move_for_which_there_is_no_descriptor_is_repeated(still: Bench) -> None:
    still.supervisor.workers_up = lambda: 1  # type: ignore[method-assign]
    media = await still.call_ports.open("a")
    with udp_socket() as newcomer:
        still.resolver.address = address_of(newcomer)
        with no_free_descriptor():
            assert not await still.call_ports.move_to_echo()
        assert await still.call_ports.move_to_echo()
        assert media.sends_to(address_of(newcomer))


@pytest.mark.parametrize("address", ["localhost", "127.1", "fe80::1%lo", "a..b", "", "127.0.0.1\n"])
async def test_a_peer_that_is_no_ip_address_fails_its_own_call(still: Bench, address: str) -> None:
    still.supervisor.workers_up = lambda: 1  # type: ignore[method-assign]
    media = await still.call_ports.open("a")
    with pytest.raises(MediaFault, match="can't be connected to"):
        await media.connect(address, 4000)


async def test_a_port_beyond_65535_fails_its_own_call(still: Bench) -> None:
    still.supervisor.workers_up = lambda: 1  # type: ignore[method-assign]
    media = await still.call_ports.open("a")
    with pytest.raises(MediaFault, match="can't be connected to"):
        await media.connect("127.0.0.1", 65536)


async def test_a_failure_of_the_final_figures_leaves_no_socket_open(
    still: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise ValueError("rows")

    still.supervisor.workers_up = lambda: 1  # type: ignore[method-assign]
    media = await still.call_ports.open("a")
    with monkeypatch.context() as patch:
        patch.setattr(still.call_ports.measurement, "end_stream", fail)
        with pytest.raises(ValueError, match="rows"):
            await media.close()
    assert (media.is_bound, still.ports.report().leased, still.supervisor.slots_in_use()) == (False, 0, frozenset())
    await media.close()


async def test_a_port_is_observed_for_senders_that_asterisk_did_not_announce(
    running: Bench, asterisk: socket.socket
) -> None:
    media = await call(running, asterisk)
    with udp_socket() as translated:
        observing = asyncio.create_task(media.observe_senders())
        await asyncio.sleep(0)
        for sequence in range(MAX_OBSERVED_PACKETS):
            translated.sendto(rtp_packet(sequence), ("127.0.0.1", media.port))
        reason = await observing
        assert f"comes from 127.0.0.1:{address_of(translated)[1]}" in (reason or "")
        assert reason == str(running.call_ports.asterisk.translated)
    asterisk.send(rtp_packet(1))
    assert await receive(running.echo) == rtp_packet(1)


async def test_a_port_that_is_closed_while_it_is_observed_is_free_at_once(
    running: Bench, asterisk: socket.socket
) -> None:
    media = await call(running, asterisk)
    observing = asyncio.create_task(media.observe_senders())
    await asyncio.sleep(0)
    await media.close()
    async with asyncio.timeout(MAX_OBSERVED_SECONDS / 2):
        assert await observing is None
    await until(lambda: can_bind("127.0.0.1", media.port) is None, "the port is free")


async def test_ports_are_observed_up_to_the_bound_at_once(running: Bench, asterisk: socket.socket) -> None:
    media = await call(running, asterisk)
    running.call_ports.asterisk.observations = MAX_OBSERVATIONS
    async with asyncio.timeout(MAX_OBSERVED_SECONDS / 2):
        assert await media.observe_senders() is None
    assert running.call_ports.asterisk.observations == MAX_OBSERVATIONS


async def test_a_port_whose_media_process_stands_still_stays_leased_and_is_no_leak(
    running: Bench, asterisk: socket.socket
) -> None:
    media = await running.call_ports.open("a")
    pid = running.supervisor.pids[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(MediaFault, match="no answer within"):
            await media.connect(*address_of(asterisk))
        await media.close()
        for _ in range(3):
            running.now += 2 * MIN_SUSPECTED_SECONDS
            assert await running.call_ports.audit([]) == ()
        assert (running.ports.report().leased, running.call_ports.active_calls) == (1, 0)
        assert can_bind("127.0.0.1", media.port) is not None
    finally:
        os.kill(pid, signal.SIGCONT)
    await until(lambda: running.ports.report().leased == 0)
    assert can_bind("127.0.0.1", media.port) is None
    assert (running.ports.report().leaked, running.supervisor.slots_in_use()) == (0, frozenset())
