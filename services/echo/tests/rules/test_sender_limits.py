from __future__ import annotations

import ipaddress
import socket
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.socket_name import KEY_V4_BYTES, name_of, source_of
from rtppool_echo.rules.refusals import SourceRules
from rtppool_echo.rules.sender_limits import RateLimit, SenderLimits

EXACT_RATES = [1, 2, 5, 8, 50, 100, 200, 1_000, 1_000_000]


def admit(_key: bytes) -> None:
    return None


class Bucket:
    """The textbook's token bucket: one second's tokens at most, filled by time, exact."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.tokens = Fraction(rate)
        self.at_ns = 0

    def takes(self, now_ns: int) -> bool:
        self.tokens = min(Fraction(self.rate), self.tokens + Fraction(self.rate * (now_ns - self.at_ns), NS_PER_SECOND))
        self.at_ns = now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


steps = st.integers(0, 3) | st.integers(0, 30_000_000) | st.integers(0, 3 * NS_PER_SECOND)


@given(st.sampled_from(EXACT_RATES), st.lists(steps, max_size=200))
def test_a_limit_lets_through_exactly_what_a_token_bucket_does(rate: int, pauses_ns: list[int]) -> None:
    limit, bucket, now_ns = RateLimit(rate, "rate", admit), Bucket(rate), 10 * NS_PER_SECOND
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        assert (limit.refusal(b"a", now_ns) is None) == bucket.takes(now_ns)


@given(st.integers(1, 1_000_000), st.lists(steps, min_size=1, max_size=300))
def test_no_rate_lets_more_through_than_one_second_in_advance(rate: int, pauses_ns: list[int]) -> None:
    limit, now_ns, passed = RateLimit(rate, "rate", admit), 0, 0
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        passed += limit.refusal(b"a", now_ns) is None
    assert passed <= rate + rate * Fraction(now_ns, NS_PER_SECOND)


@given(
    st.sampled_from([5, 200, 1_000]),
    st.integers(2, 12),
    st.lists(st.tuples(st.integers(0, 20), steps), max_size=400),
)
def test_who_is_forgotten_gets_no_more_and_no_less_than_who_is_remembered(
    rate: int, max_senders: int, packets: list[tuple[int, int]]
) -> None:
    limit, buckets, now_ns = RateLimit(rate, "rate", admit, max_senders), {}, 10 * NS_PER_SECOND
    for source, pause_ns in packets:
        now_ns += pause_ns
        refusal = limit.refusal(bytes([source]), now_ns)
        assert len(limit) <= max_senders
        if refusal != "table_full":
            assert (refusal is None) == buckets.setdefault(source, Bucket(rate)).takes(now_ns)


def test_a_flood_of_forged_senders_neither_grows_the_table_nor_resets_a_sender() -> None:
    limit, now_ns, passed = RateLimit(50, "rate", admit, 1_000), 0, 0
    # 2 s of a sender at 1,000 packets/s among 25,000 forged ones a second.
    for number in range(50_000):
        now_ns += 40_000
        assert limit.refusal(b"forged %d" % number, now_ns) is None
        passed += number % 25 == 0 and limit.refusal(b"loud", now_ns) is None
        assert len(limit) <= 1_000
    assert passed == 50 + 99


def test_a_full_table_refuses_strangers_and_keeps_those_who_are_known() -> None:
    limit = RateLimit(1, "rate", admit, 4)
    assert [limit.refusal(bytes([source]), 0) for source in range(6)] == [None] * 4 + ["table_full"] * 2
    assert limit.refusal(bytes([0]), NS_PER_SECOND) is None
    assert limit.refusal(bytes([5]), NS_PER_SECOND) is None


def test_rate_0_is_no_limit() -> None:
    limit = RateLimit(0, "rate", admit)
    assert {limit.refusal(b"a", 5) for _ in range(1_000)} == {None}


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"])
def test_each_port_has_its_own_rate_and_an_address_one_for_all_its_ports(host: str) -> None:
    limits = SenderLimits(SourceRules(4000), 2, 5, source_of)
    answers = [limits.refusal(key(host, 10_000 + at % 4), NS_PER_SECOND) for at in range(12)]
    assert answers == [None] * 5 + ["address_rate"] * 3 + ["rate"] * 4
    assert limits.refusal(key(host, 10_000), 2 * NS_PER_SECOND) is None


def test_the_address_rate_is_off_by_default_so_that_a_relay_of_400_calls_passes() -> None:
    limits = SenderLimits(SourceRules(4000), 200, 0, source_of)
    assert {
        limits.refusal(key("192.0.2.1", 10_000 + call), at * 20_000_000) for at in range(50) for call in range(400)
    } == {None}


def test_who_is_refused_by_the_rules_takes_no_place_in_the_table() -> None:
    limits = SenderLimits(SourceRules(4000, (ipaddress.ip_network("10.0.0.0/8"),)), 200, 0, source_of)
    for number in range(100):
        assert limits.refusal(key(str(ipaddress.IPv4Address(number << 8 | 0xC0000000)), 10_000), 0) == "not_allowed"
    assert len(limits._senders) == 0


def key(host: str, port: int) -> bytes:
    return name_of((host, port, 0, 0)) if ":" in host else name_of((host, port))[:KEY_V4_BYTES]


def test_each_new_sender_that_is_answered_is_reported_once_by_its_address() -> None:
    new: list[bytes] = []
    limits = SenderLimits(SourceRules(4000), 200, 0, source_of, new.append)
    for sender in (("192.0.2.1", 10_000), ("192.0.2.1", 10_000), ("192.0.2.2", 10_000), ("192.0.2.3", 53)):
        limits.refusal(key(*sender), 0)
    assert new == [socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2")]
