"""Causes and judgement of late packets: cases by hand, and the rules for any parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_slot import MS, Slot, after

from rtppool_relay.streams.causes import Causes, Excess, HostShare, find_causes
from rtppool_relay.streams.slices import Slice

THRESHOLD = 3 * MS
Parts = tuple[float, float, float]
NOTHING: Parts = (0, 0, 0)


def excess(*packets: Parts) -> Excess:
    """Return the parts of source, relay and echo in ns, from parts in ms."""
    return Excess(*(np.array([round(packet[part] * MS) for packet in packets], np.int64) for part in range(3)))


def judge_one(parts: Parts, host: Parts = NOTHING, at_most: Parts | None = None) -> tuple[str | None, bool, bool]:
    """Return the cause of one packet, and whether it is judged without and with the host's time.

    `host` was seen, and `at_most` is the most that it may be; the same where it is left out.
    """
    share = HostShare(excess(host), excess(host if at_most is None else at_most))
    causes = find_causes(excess(parts), share, np.array([THRESHOLD]))
    named = [name for name in ("source", "relay", "echo", "host") if getattr(causes, name)[0]]
    assert len(named) <= 1
    return named[0] if named else None, bool(causes.judged[0]), bool(causes.judged_with_host[0])


@pytest.mark.parametrize(
    ("parts", "cause", "judged"),
    [
        ((2.9, 0, 0), None, False),
        ((1, 1, 1), None, False),
        ((2.0, 1.9, 1.9), "source", True),  # arrived in time, and left late
        ((0, 1.9, 1.9), "relay", True),
        ((5, 0, 0), "source", False),
        ((5, 2, 1), "source", False),  # late before the relay had it
        ((5, 2, 1.1), "source", True),  # and relay and echo alone made it late
        ((9, 4, 0), "source", True),
        ((0, 4, 0), "relay", True),
        ((0, 0, 4), "echo", True),
        ((3, 0, 0.1), "source", True),  # arrived at the threshold
        ((-2, 4, 0), None, False),  # left in time
    ],
)
def test_judged_are_packets_that_arrived_in_time_or_were_made_late(
    parts: Parts, cause: str | None, judged: bool
) -> None:
    assert judge_one(parts) == (cause, judged, judged)


@pytest.mark.parametrize(
    ("parts", "host", "expected"),
    [
        ((0, 4, 0), (0, 4, 0), ("host", False, True)),
        ((4, 0, 0), (4, 0, 0), ("host", False, True)),
        ((0, 0, 4), (0, 0, 1), ("host", False, True)),  # 3 ms are left, which is not late
        ((0, 0, 4.1), (0, 0, 1), ("echo", True, True)),
        ((0, 0, 500), (0, 0, 40), ("echo", True, True)),  # a slow echo under constant stalls
        ((2, 2, 2), (2, 0, 0), ("relay", True, True)),  # equal parts are never the host's
        ((2.5, 2, 2), (2.5, 0, 0), ("host", True, True)),
        ((9, 0, 0), (4, 0, 0), ("source", False, True)),
        ((9, 1, 1), (0, 1, 0), ("source", False, False)),
        ((0, 2, 2), (0, 1, 1), ("host", False, True)),
    ],
)
def test_the_hosts_part_is_taken_off_before_a_cause_is_named(
    parts: Parts, host: Parts, expected: tuple[str, bool, bool]
) -> None:
    assert judge_one(parts, host) == expected


@pytest.mark.parametrize(
    ("parts", "host", "at_most", "expected"),
    [
        ((0, 5, 0), (0, 1, 0), (0, 4, 0), ("host", False, True)),  # a stall that was seen after 3 ms
        ((0, 8, 0), (0, 1, 0), (0, 4, 0), ("relay", True, True)),  # 4 ms are left at least, which is late
        ((0, 0, 500), (0, 0, 60), (0, 0, 240), ("echo", True, True)),  # a slow echo under constant stalls
        ((0, 0, 500), (0, 0, 60), (0, 0, 499), ("host", False, True)),
    ],
)
def test_unseen_time_before_a_stall_makes_no_packet_late_by_others_and_names_no_largest_part(
    parts: Parts, host: Parts, at_most: Parts, expected: tuple[str, bool, bool]
) -> None:
    assert judge_one(parts, host, at_most) == expected


PART = st.integers(-5 * MS, 20 * MS)
SHARE = st.floats(0, 1)


@given(st.lists(st.tuples(st.tuples(PART, PART, PART), st.tuples(SHARE, SHARE, SHARE)), min_size=1, max_size=20))
def test_each_late_packet_has_one_cause_and_is_judged_by_the_same_rule_with_the_host_and_without(
    packets: list[tuple[tuple[int, int, int], tuple[float, float, float]]],
) -> None:
    parts = np.array([parts for parts, _ in packets], np.int64)
    host = np.array([[int(max(part, 0) * share) for part, share in zip(*each, strict=True)] for each in packets])
    share = HostShare(Excess(*host.T), Excess(*host.T))
    causes = find_causes(Excess(*parts.T), share, np.full(len(packets), THRESHOLD))
    for at, ((source, relay, echo), hosts) in enumerate(zip(parts.tolist(), host.tolist(), strict=True)):
        total, taken = source + relay + echo, sum(hosts)
        owns = {"source": source - hosts[0], "relay": relay - hosts[1], "echo": echo - hosts[2]}
        cause = max(owns, key=lambda name: owns[name])
        if total - taken <= THRESHOLD or taken > owns[cause]:
            cause = "host"
        late = total > THRESHOLD
        assert flags(causes, at) == {
            **{name: late and name == cause for name in ("source", "relay", "echo", "host")},
            "judged": total - taken > THRESHOLD and (source <= THRESHOLD or owns["relay"] + owns["echo"] > THRESHOLD),
            "judged_with_host": late and (source <= THRESHOLD or owns["relay"] + owns["echo"] + taken > THRESHOLD),
        }
        assert not causes.judged[at] or causes.judged_with_host[at]


def flags(causes: Causes, at: int) -> dict[str, bool]:
    return {name: bool(getattr(causes, name)[at]) for name in Causes.__slots__}


def every_tenth(source_ms: float) -> Slice:
    """Every tenth of 3,000 packets: 1.9 ms too long in the relay and in the echo each."""
    slot = Slot()
    statistics = slot.statistics()
    for number in range(3_000):
        delays = {"source_delay_ns": source_ms, "residence_ns": 1.9, "round_trip_ns": 6.9}
        late = {name: round(ms * MS) for name, ms in delays.items()} if number % 10 == 5 else {"residence_ns": 0}
        slot.row(number, **late)
        if number % 50 == 49:
            statistics.collect(after(number, 0.1))
    return statistics.total


@pytest.mark.parametrize(("source_ms", "cause"), [(0, "late_relay"), (2.0, "late_source")])
def test_a_less_punctual_source_takes_no_packet_from_the_judgement(source_ms: float, cause: str) -> None:
    total = every_tenth(source_ms)
    assert (getattr(total, cause), total.late_judged) == (300, 300)
