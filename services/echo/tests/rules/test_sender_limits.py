from __future__ import annotations

import ipaddress
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from senders import name_words

from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.reflector.compiled import compiled
from rtppool_echo.rules import rate_limit, sender_limits
from rtppool_echo.rules.rate_limit import NEW_SENDER, packet_cost_ns
from rtppool_echo.rules.refusals import NOT_REFUSED, REASON_RATE, REASONS, place_of
from rtppool_echo.rules.sender_limits import ADDRESS_STEP_NS, LIMITS_WORDS, MAX_SENDERS, OWN_PORT, STEP_NS
from rtppool_echo.rules.sender_table import COUNT, begin_table, table_words
from rtppool_echo.rules.source_rules import Network, networks_in_words

EXACT_RATES = [1, 2, 5, 8, 50, 100, 200, 1_000, 1_000_000]
_take_token: Any = compiled(rate_limit.take_token)
_admit: Any = compiled(rate_limit.admit)
_refusal_of_sender: Any = compiled(sender_limits.refusal_of_sender)
_refusal_of_address: Any = compiled(sender_limits.refusal_of_address)


def table_of(senders: int) -> Any:
    table = np.zeros(table_words(senders), np.int64)
    begin_table(table, senders)
    return table


def reason(refusal: int) -> str | None:
    return None if refusal == NOT_REFUSED else REASONS[refusal]


class RateLimit:
    """The buckets of senders that are known by one number."""

    def __init__(self, rate: int, max_senders: int = MAX_SENDERS) -> None:
        self._table = table_of(max_senders)
        self._step_ns = packet_cost_ns(rate)

    def __len__(self) -> int:
        return int(self._table[COUNT])

    def refusal(self, sender: int, now_ns: int) -> str | None:
        key = np.array([1 + sender, 0, 0, 0])
        refusal = _take_token(self._table, key, 0, now_ns, self._step_ns, place_of(REASON_RATE))
        return reason(_admit(self._table, key, 0, now_ns, self._step_ns) if refusal == NEW_SENDER else refusal)


class SenderLimits:
    """The limits of a process on port 4000. `new` are the senders that passed the source rules."""

    def __init__(self, rate: int, rate_per_address: int, allow: tuple[Network, ...] = ()) -> None:
        self._limits = np.zeros(LIMITS_WORDS, np.int64)
        self._limits[OWN_PORT] = 4000
        self._limits[STEP_NS], self._limits[ADDRESS_STEP_NS] = packet_cost_ns(rate), packet_cost_ns(rate_per_address)
        self._networks = np.array(networks_in_words(allow))
        self._addresses = table_of(MAX_SENDERS)
        self.senders = table_of(MAX_SENDERS)
        self.new: list[tuple[str, int]] = []

    def refusal(self, host: str, port: int, now_ns: int) -> str | None:
        key = name_words(host, port)
        refusal, is_new = _refusal_of_sender(self._limits, self._networks, self.senders, key, 0, now_ns)
        if is_new:
            self.new.append((host, port))
        if refusal == NOT_REFUSED:
            refusal = _refusal_of_address(self._limits, self._addresses, key, 0, now_ns)
        return reason(refusal)


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
    limit, bucket, now_ns = RateLimit(rate), Bucket(rate), 10 * NS_PER_SECOND
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        assert (limit.refusal(0, now_ns) is None) == bucket.takes(now_ns)


@given(st.integers(1, 1_000_000), st.lists(steps, min_size=1, max_size=300))
def test_no_rate_lets_more_through_than_one_second_in_advance(rate: int, pauses_ns: list[int]) -> None:
    limit, now_ns, passed = RateLimit(rate), 0, 0
    for pause_ns in pauses_ns:
        now_ns += pause_ns
        passed += limit.refusal(0, now_ns) is None
    assert passed <= rate + rate * Fraction(now_ns, NS_PER_SECOND)


@given(
    st.sampled_from([5, 200, 1_000]),
    st.integers(2, 12),
    st.lists(st.tuples(st.integers(0, 20), steps), max_size=400),
)
def test_who_is_forgotten_gets_no_more_and_no_less_than_who_is_remembered(
    rate: int, max_senders: int, packets: list[tuple[int, int]]
) -> None:
    limit, buckets, now_ns = RateLimit(rate, max_senders), {}, 10 * NS_PER_SECOND
    for source, pause_ns in packets:
        now_ns += pause_ns
        refusal = limit.refusal(source, now_ns)
        assert len(limit) <= max_senders
        if refusal != "table_full":
            assert (refusal is None) == buckets.setdefault(source, Bucket(rate)).takes(now_ns)


def test_a_flood_of_forged_senders_neither_grows_the_table_nor_resets_a_sender() -> None:
    limit, now_ns, passed = RateLimit(50, 1_000), 0, 0
    # 2 s of a sender at 1,000 packets/s among 25,000 forged ones a second.
    for number in range(50_000):
        now_ns += 40_000
        assert limit.refusal(1 + number, now_ns) is None
        passed += number % 25 == 0 and limit.refusal(0, now_ns) is None
        assert len(limit) <= 1_000
    assert passed == 50 + 99


def test_a_full_table_refuses_strangers_and_keeps_those_who_are_known() -> None:
    limit = RateLimit(1, 4)
    assert [limit.refusal(source, 0) for source in range(6)] == [None] * 4 + ["table_full"] * 2
    assert limit.refusal(0, NS_PER_SECOND) is None
    assert limit.refusal(5, NS_PER_SECOND) is None


def test_rate_0_is_no_limit() -> None:
    limit = RateLimit(0)
    assert {limit.refusal(0, 5) for _ in range(1_000)} == {None}


@pytest.mark.parametrize("host", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"])
def test_each_port_has_its_own_rate_and_an_address_one_for_all_its_ports(host: str) -> None:
    limits = SenderLimits(2, 5)
    answers = [limits.refusal(host, 10_000 + at % 4, NS_PER_SECOND) for at in range(12)]
    assert answers == [None] * 5 + ["address_rate"] * 3 + ["rate"] * 4
    assert limits.refusal(host, 10_000, 2 * NS_PER_SECOND) is None


def test_an_address_is_the_same_one_in_both_of_its_forms() -> None:
    limits = SenderLimits(200, 2)
    hosts = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1"]
    assert [limits.refusal(host, 10_000, NS_PER_SECOND) for host in hosts] == [None, None, "address_rate", None]


def test_the_address_rate_is_off_by_default_so_that_a_relay_of_400_calls_passes() -> None:
    limits = SenderLimits(200, 0)
    assert {limits.refusal("192.0.2.1", 10_000 + call, at * 20_000_000) for at in range(50) for call in range(400)} == {
        None
    }


def test_who_is_refused_by_the_rules_takes_no_place_in_the_table() -> None:
    limits = SenderLimits(200, 0, (ipaddress.ip_network("10.0.0.0/8"),))
    for number in range(100):
        assert limits.refusal(str(ipaddress.IPv4Address(number << 8 | 0xC0000000)), 10_000, 0) == "not_allowed"
    assert limits.senders[COUNT] == 0


def test_each_new_sender_that_is_answered_is_reported_once() -> None:
    limits = SenderLimits(200, 0)
    for sender in (("192.0.2.1", 10_000), ("192.0.2.1", 10_000), ("192.0.2.2", 10_000), ("192.0.2.3", 53)):
        limits.refusal(*sender, 0)
    assert limits.new == [("192.0.2.1", 10_000), ("192.0.2.2", 10_000)]
