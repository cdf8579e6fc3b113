from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report import Finding, PortsReport, Quarantine
from rtppool_relay.ports.asterisk_endpoints import REMEMBERED_PORTS, AsteriskEndpoints
from rtppool_relay.ports.preflight import HostFacts, PlannedUse, format_ports, preflight
from rtppool_relay.ports.preflight_watch import parse_ports

GOOD_HOST = HostFacts(
    ephemeral=(32768, 60999),
    reserved=frozenset(),
    receive_buffer_asked_bytes=262144,
    receive_buffer_bytes=262144,
    receive_buffer_limit_bytes=4194304,
    file_limit=65536,
    in_cluster=True,
)
POOL = PlannedUse(PortRange(10000, 10100), frozenset(), 4000)
ALL_BIND = PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, 0)


def found(
    facts: HostFacts = GOOD_HOST,
    planned: PlannedUse = POOL,
    ports: PortsReport = ALL_BIND,
    asterisk: AsteriskEndpoints | None = None,
    stamps: str | None = None,
    real_time_refused: bool = False,
) -> tuple[Finding, ...]:
    known = asterisk or AsteriskEndpoints()
    return preflight(facts, planned, ports, known, stamps, real_time_refused=real_time_refused)


def only(findings: tuple[Finding, ...], code: str) -> Finding:
    assert [each.code for each in findings] == [code]
    return findings[0]


def seen(*ports: int, address: str = "127.0.0.1") -> AsteriskEndpoints:
    asterisk = AsteriskEndpoints()
    for port in ports:
        asterisk.record((address, port), "127.0.0.1", "127.0.0.1")
    return asterisk


def test_a_host_that_fits_gives_no_finding() -> None:
    assert found() == ()


def test_ports_that_the_kernel_gives_away_are_told_with_the_setting_that_keeps_them() -> None:
    planned = PlannedUse(PortRange(32768, 32770), frozenset({32769}), 4000)
    finding = only(found(planned=planned), "EphemeralRange")
    assert "ports 32768,32770 lie in net.ipv4.ip_local_port_range, 32768-60999" in finding.sentence
    assert finding.sentence.endswith("sysctl -w net.ipv4.ip_local_reserved_ports=32768,32770")
    assert not finding.inferred


def test_ports_that_are_reserved_are_safe_and_what_is_reserved_is_kept_in_the_setting() -> None:
    planned = PlannedUse(PortRange(40000, 40100), frozenset(), 4000)
    reserved = frozenset(range(40000, 40101))
    assert found(replace(GOOD_HOST, reserved=reserved), planned) == ()
    finding = only(found(replace(GOOD_HOST, reserved=frozenset({8080, 40000})), planned), "EphemeralRange")
    assert "ip_local_reserved_ports=8080,40000-40100 (with the ports reserved already)" in finding.sentence


def test_a_list_of_reserved_ports_too_long_to_repeat_is_not_repeated() -> None:
    planned = PlannedUse(PortRange(40000, 43000), frozenset(range(40001, 43000, 2)), 4000)
    finding = next(each for each in found(planned=planned) if each.code == "EphemeralRange")
    assert "on the node: add them to net.ipv4.ip_local_reserved_ports" in finding.sentence
    assert len(finding.sentence) < 400


def test_what_could_not_be_read_is_a_finding_and_no_pass() -> None:
    facts = replace(GOOD_HOST, ephemeral=None, reserved=None, unread=("/proc/x could not be read (No such file)",))
    assert only(found(facts), "HostUnread").sentence == "/proc/x could not be read (No such file)"


def test_ports_that_do_not_bind_are_told_with_the_way_to_who_has_them() -> None:
    reasons = tuple(
        Quarantine(port, f"UDP 0.0.0.0:{port} can't be bound: Address already in use") for port in range(10000, 10005)
    )
    finding = only(found(ports=structs.replace(ALL_BIND, free=96, quarantined=5, quarantine=reasons)), "PortsNotBound")
    assert finding.sentence.startswith("5 of 101 ports of 10000-10100 can't be used: UDP 0.0.0.0:10000 can't be bound")
    assert "10002" in finding.sentence
    assert "10003" not in finding.sentence
    assert "ss -aunp 'sport = :10000'" in finding.sentence


def test_a_receive_buffer_that_the_kernel_cuts_is_told_with_what_was_got() -> None:
    finding = only(
        found(replace(GOOD_HOST, receive_buffer_bytes=212992, receive_buffer_limit_bytes=212992)), "ReceiveBuffer"
    )
    assert "a socket's receive buffer has 212992 bytes instead of 262144" in finding.sentence
    assert "net.core.rmem_max is 212992" in finding.sentence
    assert finding.sentence.endswith("sysctl -w net.core.rmem_max=262144")


def test_a_limit_of_open_files_below_the_ranges_need_is_told() -> None:
    assert "the limit of open files is 256" in only(found(replace(GOOD_HOST, file_limit=256)), "FileLimit").sentence


def test_receive_stamps_that_are_not_the_kernels_are_told() -> None:
    assert only(found(stamps="no stamps here"), "ReceiveStamps").sentence == "no stamps here"


def test_real_time_priority_that_is_expected_and_refused_is_told_with_what_it_takes() -> None:
    assert "CAP_SYS_NICE" in only(found(real_time_refused=True), "RealTimeRefused").sentence


def test_an_asterisk_on_this_host_whose_ports_were_seen_in_the_pool_is_told_as_inferred() -> None:
    finding = only(found(asterisk=seen(9990, 10010)), "AsteriskRange")
    assert finding.inferred
    assert "observed from 9990 to 10010 (its rtp.conf may be wider), hold the pool's 10000-10010" in finding.sentence


def test_an_asterisk_whose_ports_were_seen_around_the_echos_is_told() -> None:
    assert "hold the echo's port 4000" in only(found(asterisk=seen(3998, 4010)), "AsteriskRange").sentence


def test_an_asterisk_elsewhere_or_outside_the_pool_is_none() -> None:
    assert found(asterisk=seen(10050, address="192.0.2.1")) == ()
    assert found(asterisk=seen(24000, 24998)) == ()


def test_an_asterisk_that_moved_away_is_forgotten_with_its_calls() -> None:
    asterisk = seen(10050, *range(24000, 24000 + REMEMBERED_PORTS))
    assert asterisk.local_ports == (24000, 24000 + REMEMBERED_PORTS - 1)


def test_ports_where_node_ports_are_assumed_are_told_in_a_cluster_only() -> None:
    planned = PlannedUse(PortRange(32700, 32767), frozenset(), 4000)
    finding = only(found(planned=planned), "NodePorts")
    assert finding.inferred
    assert "assumed 30000-32767" in finding.sentence
    assert found(replace(GOOD_HOST, in_cluster=False), planned) == ()


def test_an_asterisk_that_was_told_another_address_than_packets_leave_from_is_told_until_it_is_right() -> None:
    asterisk = AsteriskEndpoints()
    asterisk.record(("192.0.2.1", 24000), "10.0.0.5", "198.51.100.9")
    finding = only(found(asterisk=asterisk), "AdvertisedAddress")
    assert finding.inferred
    direction = "Asterisk sends to 198.51.100.9, but packets to Asterisk at 192.0.2.1 leave from 10.0.0.5"
    assert direction in finding.sentence
    asterisk.record(("192.0.2.1", 24000), "10.0.0.5", "10.0.0.5")
    assert found(asterisk=asterisk) == ()


@pytest.mark.parametrize(("source", "told"), [("2001:db8::1", "2001:DB8:0::1"), ("10.0.0.5", "relay.example")])
def test_one_address_in_two_spellings_and_a_name_are_no_finding(source: str, told: str) -> None:
    asterisk = AsteriskEndpoints()
    asterisk.record(("2001:db8::9", 24000), source, told)
    assert found(asterisk=asterisk) == ()


@given(st.frozensets(st.integers(1, 65535), max_size=60))
def test_ranges_of_ports_are_read_by_the_kernels_rules_as_they_were(ports: frozenset[int]) -> None:
    assert parse_ports(format_ports(sorted(ports))) == ports


@given(
    st.tuples(st.integers(1024, 65535), st.integers(1024, 65535)),
    st.integers(1024, 65000),
    st.integers(1, 300),
    st.frozensets(st.integers(1024, 65535), max_size=50),
    st.frozensets(st.integers(1024, 65535), max_size=50),
)
def test_there_is_an_ephemeral_finding_exactly_where_a_calls_port_is_exposed(
    ephemeral: tuple[int, int], first: int, size: int, reserved: frozenset[int], excluded: frozenset[int]
) -> None:
    ports = PortRange(first, min(first + size, 65535))
    facts = replace(GOOD_HOST, ephemeral=ephemeral, reserved=reserved, in_cluster=False)
    exposed = {port for port in ports if ephemeral[0] <= port <= ephemeral[1]} - reserved - excluded
    assert bool(found(facts, PlannedUse(ports, excluded, 500))) == bool(exposed)


@pytest.mark.parametrize("ports", [[], [1], [1, 2], [1, 3], [1, 2, 3, 7, 9, 10]])
def test_ranges_are_as_short_as_can_be(ports: list[int]) -> None:
    assert format_ports(ports).count(",") + 1 == max(1, len([port for port in ports if port - 1 not in ports]))
