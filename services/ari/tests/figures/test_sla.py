from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtppool_core.contract.pools_file import SlaLimits, SlaTier
from rtppool_core.contract.report import SlaViolation
from rtppool_core.statistics.histogram import bucket_of
from rtppool_relay.figures.capacity import Capacity
from rtppool_relay.figures.sla import judge, select_tier
from rtppool_relay.streams.slices import Slice

MS = 1_000_000
CAPACITY = Capacity(101, "the range 10000-10100 has 101 ports")


def figures(packets: int = 2000, lost: int = 0, round_trips_ns: tuple[int, ...] = (5 * MS,), **late: int) -> Slice:
    """A window whose answers all have round trips of `round_trips_ns`, and were compared with the RTP clock."""
    made = Slice(packets=packets, answered=packets - lost, **late)
    for value in round_trips_ns:
        count = made.answered // len(round_trips_ns)
        made.round_trip.add_buckets([(bucket_of(value), count)], value, value)
        made.source_variation.add_buckets([(bucket_of(MS), count)], MS, MS)
    return made


def unmeasured(packets: int, round_trips: int, **counts: int) -> Slice:
    """A window with samples of some answers only, as after a step of the clock."""
    made = Slice(packets=packets, answered=packets, **counts)
    if round_trips:
        made.round_trip.add_buckets([(bucket_of(5 * MS), round_trips)], 5 * MS, 5 * MS)
    return made


def test_without_calls_or_packets_or_enough_of_them_the_verdict_is_unknown() -> None:
    limits = SlaLimits()
    assert judge(Slice(), 0, limits).report.reason == "NoCalls"
    assert judge(Slice(), 1, limits).report.reason == "NoPackets"
    assert judge(figures(999), 1, limits).report.reason == "TooFewSamples"


@pytest.mark.parametrize(
    ("calls", "tier", "above"), [(0, 30, False), (30, 30, False), (31, 100, False), (150, 150, False), (151, 150, True)]
)
def test_the_tier_follows_the_active_calls(calls: int, tier: int, above: bool) -> None:
    verdict = judge(figures(), calls, SlaLimits()).report
    assert (verdict.result, verdict.tier_up_to_calls, verdict.above_tiers) == ("Met", tier, above)


@pytest.mark.parametrize(
    ("window", "limit"),
    [
        (figures(lost=10), "maxLossPpm"),
        (figures(late_source=3, late_judged=3), "maxLatePpm"),
        (figures(round_trips_ns=(23 * MS,)), "maxRttMicroseconds"),
        (figures(round_trips_ns=(9 * MS,)), "p50Microseconds"),
    ],
)
def test_a_figure_above_a_limit_is_a_violation_that_names_it(window: Slice, limit: str) -> None:
    verdict = judge(window, 10, SlaLimits()).report
    assert verdict.result == "Violated"
    assert limit in {violation.limit for violation in verdict.violations}


def test_late_packets_count_against_the_sla_only_where_they_are_judged() -> None:
    assert judge(figures(late_source=500, late_relay=9, late_host=99), 10, SlaLimits()).report.result == "Met"


def test_a_violation_has_the_accepted_and_the_measured_value() -> None:
    made = figures(lost=5, round_trips_ns=(23 * MS + 1,), late_echo=1, late_relay=2, late_judged=3)
    verdict = judge(made, 140, SlaLimits()).report
    assert (verdict.result, verdict.reason, verdict.tier_up_to_calls) == ("Violated", "LimitExceeded", 150)
    assert verdict.violations == (
        SlaViolation("p50Microseconds", 12_000, 23_001),
        SlaViolation("p95Microseconds", 18_000, 23_001),
        SlaViolation("p99Microseconds", 22_000, 23_001),
        SlaViolation("maxRttMicroseconds", 22_000, 23_001),
        SlaViolation("maxLatePpm", 1_000, 1_500),
        SlaViolation("maxLossPpm", 2_000, 2_500),
    )


def test_above_the_last_tier_its_limits_apply() -> None:
    verdict = judge(figures(round_trips_ns=(13 * MS,)), 151, SlaLimits()).report
    assert (verdict.above_tiers, verdict.tier_up_to_calls) == (True, 150)
    assert [violation.limit for violation in verdict.violations] == ["p50Microseconds"]


def test_tiers_may_stand_in_any_order() -> None:
    shuffled = SlaLimits(tiers=tuple(reversed(SlaLimits().tiers)))
    assert select_tier(shuffled, 31) == select_tier(SlaLimits(), 31)


def test_without_tiers_only_the_limits_at_any_load_apply() -> None:
    limits = SlaLimits(tiers=())
    assert judge(figures(round_trips_ns=(21 * MS,)), 10, limits).report.result == "Met"
    broken = judge(figures(round_trips_ns=(23 * MS,)), 10, limits).report
    assert [violation.limit for violation in broken.violations] == ["maxRttMicroseconds"]
    assert broken.tier_up_to_calls is None


def test_a_figure_on_its_limit_keeps_it_and_one_above_by_a_fraction_does_not() -> None:
    limits = SlaLimits(max_loss_ppm=2_000, min_samples=1)
    assert judge(figures(packets=2000, lost=4), 1, limits).report.result == "Met"
    above = judge(figures(packets=1999, lost=4), 1, limits).report
    assert above.violations == (SlaViolation("maxLossPpm", 2_000, 2_002),)
    barely = judge(figures(packets=1_000_000, lost=2_001), 1, limits).report
    assert barely.violations == (SlaViolation("maxLossPpm", 2_000, 2_001),)
    by_a_thousandth = judge(figures(packets=999_999_999, lost=2_000_000), 1, limits).report
    assert by_a_thousandth.violations == (SlaViolation("maxLossPpm", 2_000, 2_001),)


def test_without_an_answer_only_loss_is_judged() -> None:
    verdict = judge(figures(lost=2000, round_trips_ns=()), 10, SlaLimits()).report
    assert verdict.violations == (SlaViolation("maxLossPpm", 2_000, 1_000_000),)


OF_ROUND_TRIPS = ("p50Microseconds", "p95Microseconds", "p99Microseconds", "maxRttMicroseconds", "maxLatePpm")


@pytest.mark.parametrize("round_trips", [0, 1, 999])
def test_min_samples_counts_measured_round_trips(round_trips: int) -> None:
    verdict = judge(unmeasured(50_000, round_trips), 10, SlaLimits()).report
    assert (verdict.result, verdict.reason, verdict.missing) == ("Unknown", "TooFewSamples", OF_ROUND_TRIPS)


def test_a_limit_without_a_figure_is_not_met_and_the_verdict_names_it() -> None:
    verdict = judge(unmeasured(50_000, 50_000), 10, SlaLimits()).report
    assert (verdict.result, verdict.reason, verdict.missing) == ("Unknown", "NotMeasured", ("maxLatePpm",))


def test_an_exceeded_limit_is_a_violation_although_another_was_not_measured() -> None:
    window = unmeasured(50_000, 40_000)
    window.round_trip.record(23 * MS)
    verdict = judge(window, 10, SlaLimits()).report
    assert [violation.limit for violation in verdict.violations] == ["maxRttMicroseconds"]
    assert (verdict.result, verdict.missing) == ("Violated", ())


def test_a_slow_round_trip_among_too_few_is_no_violation() -> None:
    window = unmeasured(50_000, 900)
    window.round_trip.record(23 * MS)
    verdict = judge(window, 10, SlaLimits()).report
    assert (verdict.result, verdict.reason, verdict.violations) == ("Unknown", "TooFewSamples", ())


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000), st.integers(1, 2000))
def test_met_means_that_every_limit_was_measured_often_enough(
    packets: int, lost: int, round_trips: int, compared: int, needed: int
) -> None:
    window = Slice(packets=packets, answered=max(0, packets - lost))
    for histogram, count in ((window.round_trip, round_trips), (window.source_variation, compared)):
        if count:
            histogram.add_buckets([(bucket_of(MS), count)], MS, MS)
    judged = judge(window, 1, SlaLimits(min_samples=needed))
    if judged.report.result == "Met":
        assert window.packets >= 1
        assert window.round_trip.count >= needed
        assert all(check.kept for check in judged.checks)
    if judged.report.reason in {"TooFewSamples", "NotMeasured"}:
        assert judged.report.missing


def test_a_figure_that_was_not_measured_keeps_no_limit_and_breaks_none() -> None:
    nothing = judge(Slice(), 0, SlaLimits()).checks
    assert [check.limit for check in nothing] == [
        "p50Microseconds",
        "p95Microseconds",
        "p99Microseconds",
        "maxRttMicroseconds",
        "maxLatePpm",
        "maxLossPpm",
    ]
    assert {(check.measured, check.kept) for check in nothing} == {(None, None)}


def test_packets_late_at_the_source_are_in_no_check() -> None:
    checks = judge(
        figures(packets=1000, late_source=500, late_relay=1, late_echo=2, late_judged=3), 1, SlaLimits()
    ).checks
    assert {check.limit: check.measured for check in checks}["maxLatePpm"] == 3_000


def test_every_verdict_names_the_tiers_that_the_capacity_does_not_reach() -> None:
    for verdict in (
        judge(Slice(), 0, SlaLimits(), CAPACITY).report,
        judge(figures(), 10, SlaLimits(), CAPACITY).report,
        judge(figures(lost=50), 10, SlaLimits(), CAPACITY).report,
    ):
        assert [tier.up_to_calls for tier in verdict.unreachable_tiers] == [150]
        assert verdict.capacity_calls == 101


def test_without_a_capacity_no_tier_is_named() -> None:
    verdict = judge(figures(), 10, SlaLimits()).report
    assert (verdict.capacity_calls, verdict.unreachable_tiers) == (None, ())


tiers = st.lists(st.integers(1, 200), unique=True, max_size=8).map(
    lambda bounds: tuple(SlaTier(bound, bound, bound, bound) for bound in bounds)
)


@given(tiers, st.integers(0, 300))
def test_the_tier_is_the_smallest_one_for_the_calls(tiers: tuple[SlaTier, ...], calls: int) -> None:
    tier, above = select_tier(SlaLimits(tiers=tiers), calls)
    bounds = [tier.up_to_calls for tier in tiers]
    fitting = [bound for bound in bounds if calls <= bound]
    assert above is (bool(bounds) and not fitting)
    assert (tier.up_to_calls if tier else None) == min(fitting, default=max(bounds, default=None))
