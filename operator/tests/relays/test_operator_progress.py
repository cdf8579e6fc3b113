"""Relays that are behind their configuration."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rtppool_core.contract.report import Report
from rtppool_operator.pools.desired import Desired, desired_state
from rtppool_operator.pools.spec import ClusterView, Node, Pool, RelayPod
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.observed import LastReport
from rtppool_operator.relays.progress import (
    FIRST_NUDGE_SECONDS,
    NUDGE_PAUSE_SECONDS,
    NUDGES_AT_PACE,
    SLOW_NUDGE_PAUSE_SECONDS,
    URGENT_SECONDS,
    RelayProgress,
    is_behind,
)

MakePool = Callable[..., Pool]
POLICY = TrustPolicy("voice")
MakeReport = Callable[..., Report]


@pytest.fixture
def relay(make_relay: Callable[..., RelayPod]) -> RelayPod:
    return make_relay("a")


@pytest.fixture
def desired(make_pool: MakePool, relay: RelayPod) -> Desired:
    return desired_state(ClusterView((make_pool(),), (relay,), {"a": Node("a")}, None), POLICY)


def watched(progress: RelayProgress, relay: RelayPod, desired: Desired, report: Report, now_seconds: float) -> None:
    progress.update((relay,), desired, {relay.uid: LastReport.of(report, now_seconds, 0)}, now_seconds)


def test_a_relay_is_behind_until_it_runs_its_entry(
    desired: Desired, make_pool: MakePool, make_report: MakeReport
) -> None:
    entry = desired.entries["a"]
    pool = make_pool()
    assert not is_behind(make_report(pool), entry)
    assert is_behind(make_report(pool, generation=2), entry)
    assert is_behind(make_report(make_pool("other")), entry)
    assert is_behind(make_report(), entry)
    assert is_behind(make_report(pool, config_error="pools.json is not JSON"), entry)
    assert is_behind(make_report(pool), None)
    assert not is_behind(make_report(), None)


def test_hurry_ends_after_ten_seconds_and_begins_with_the_next_edit(
    relay: RelayPod, desired: Desired, make_pool: MakePool, make_report: MakeReport
) -> None:
    progress, old = RelayProgress(), make_report(make_pool(), generation=2)
    watched(progress, relay, desired, old, 100.0)
    assert progress.urgent_uids(100.0) == {relay.uid}
    watched(progress, relay, desired, old, 100.0 + URGENT_SECONDS)
    assert progress.urgent_uids(100.1 + URGENT_SECONDS) == set()
    edited = desired_state(ClusterView((replace(make_pool(), generation=4),), (relay,), {"a": Node("a")}, None), POLICY)
    watched(progress, relay, edited, old, 200.0)
    assert progress.urgent_uids(200.0) == {relay.uid}
    watched(progress, relay, edited, make_report(make_pool(), generation=4), 201.0)
    assert progress.urgent_uids(201.0) == set()


def test_a_relay_is_nudged_after_a_while_then_at_a_pace_then_slowly(
    relay: RelayPod, desired: Desired, make_pool: MakePool, make_report: MakeReport
) -> None:
    progress, old = RelayProgress(), make_report(make_pool(), generation=2)
    nudges: list[tuple[float, str]] = []
    for tenth in range(2_000):
        now = 100 + tenth / 10
        watched(progress, relay, desired, old, now)
        for nudged, annotation in progress.nudges_due((relay,), now):
            nudges.append((now - 100, annotation))
            relay = replace(nudged, revision=annotation)
    times = [at for at, _ in nudges]
    pauses = [round(later - earlier, 1) for earlier, later in itertools.pairwise(times)]
    assert times[0] == pytest.approx(FIRST_NUDGE_SECONDS)
    assert pauses == [NUDGE_PAUSE_SECONDS] * (NUDGES_AT_PACE - 1) + [SLOW_NUDGE_PAUSE_SECONDS] * (
        len(pauses) - NUDGES_AT_PACE + 1
    )
    revision = desired.revision_of("a")
    assert [annotation for _, annotation in nudges] == [f"{revision}.{n + 1}" for n in range(len(nudges))]


def test_the_next_operator_goes_on_counting(
    relay: RelayPod, desired: Desired, make_pool: MakePool, make_report: MakeReport
) -> None:
    revision = desired.revision_of("a")
    for annotation, next_one in ((f"{revision}.7", f"{revision}.8"), (f"{revision}.x", f"{revision}.1")):
        progress = RelayProgress()
        watched(progress, relay, desired, make_report(make_pool(), generation=2), 100.0)
        due = progress.nudges_due((replace(relay, revision=annotation),), 102.0)
        assert [text for _, text in due] == [next_one]


@pytest.mark.parametrize("why", ["current", "silent", "ending", "unheard"])
def test_who_is_not_known_to_be_behind_is_left_alone(
    relay: RelayPod, desired: Desired, make_pool: MakePool, make_report: MakeReport, why: str
) -> None:
    progress = RelayProgress()
    report = make_report(make_pool()) if why == "current" else make_report(make_pool(), generation=2)
    last_reports: dict[str, Any] = (
        {} if why == "unheard" else {relay.uid: LastReport.of(report, 90.0 if why == "silent" else 100.0, 0)}
    )
    pod = replace(relay, terminating=why == "ending")
    progress.update((pod,), desired, last_reports, 100.0)
    assert progress.urgent_uids(100.0) == set()
    assert progress.next_nudge_seconds() == float("inf")
    assert progress.nudges_due((pod,), 1_000.0) == []
