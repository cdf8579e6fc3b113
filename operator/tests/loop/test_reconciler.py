"""Rounds of the loops, on a cluster in memory and a relay over HTTP."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from rtppool_core.contract.codec import to_json
from rtppool_core.contract.pools_file import decode_for_node
from rtppool_core.process import periodic
from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.lease import DURATION_SECONDS, Leadership, Leases
from rtppool_operator.kube.writer import NotLeadingError
from rtppool_operator.loop.reconciler import MIN_ROUND_SECONDS, Reconciler
from rtppool_operator.loop.report import StatusReporter
from rtppool_operator.pools.spec import ClusterView, Node, Pool, PoolEvent, RelayPod
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.observed import POLL_SECONDS, STALE_AFTER_SECONDS
from rtppool_operator.relays.polling import MISSED_POLLS, Poller
from rtppool_operator.relays.progress import FIRST_NUDGE_SECONDS
from rtppool_operator.status.write_policy import MIN_PAUSE_SECONDS
from rtppool_operator.work_counters import CONFIGURE
from rtppool_testing.waiting import until

MakePool = Callable[..., Pool]


class MemoryCluster(Cluster, Leases):
    """The objects of an API server."""

    def __init__(self) -> None:
        self.view = ClusterView((), (), {"a": Node("a")}, None)
        self.away = False
        self.writes: list[str] = []
        self.refreshed: list[tuple[str, str]] = []
        self.statuses: list[Mapping[str, Any]] = []
        self.events: list[PoolEvent] = []
        self.refused: set[str] = set()
        self.pruned: set[str] = set()
        self.conflicts = 0
        self.refuses_events = False
        self.refuses_pods: set[str] = set()
        self.lists = 0
        self.held: dict[str, Any] | None = None

    def read_view(self) -> ClusterView:
        if self.away:
            raise ClusterError("list rtppools: the API server can't be reached")
        return self.view

    def list_anew(self) -> None:
        self.lists += 1

    async def write(self, text: str) -> None:
        self.writes.append(text)
        self.view = replace(self.view, written=text)

    async def refresh(self, relay: RelayPod, revision: str) -> None:
        if relay.name in self.refuses_pods:
            raise ClusterError(f"annotate pod {relay.name}: 500 etcd is slow", 500)
        self.refreshed.append((relay.name, revision))
        relays = tuple(replace(pod, revision=revision) if pod == relay else pod for pod in self.view.relays)
        self.view = replace(self.view, relays=relays)

    async def write_status(self, pool: Pool, status: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if pool.name in self.refused:
            raise ClusterError(f"patch status of {pool.key}: 422 status.capacity is no integer", 422)
        if self.conflicts:
            self.conflicts -= 1
            return None
        kept = {name: each for name, each in copy.deepcopy(dict(status)).items() if name not in self.pruned}
        self.statuses.append(kept)
        self.edit_status(pool.uid, kept)
        return kept

    def edit_status(self, uid: str, status: Mapping[str, Any]) -> None:
        pools = tuple(replace(pool, status=status) if pool.uid == uid else pool for pool in self.view.pools)
        self.view = replace(self.view, pools=pools)

    async def create_event(self, pool: Pool, event: PoolEvent, reporter: str) -> None:
        if self.refuses_events:
            raise ClusterError(f"create event on {pool.key}: 403 forbidden", 403)
        assert reporter == "ns/me"
        self.events.append(event)

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        raise AssertionError(f"no values, and yet {document} was applied")

    async def record_default_pool(self, name: str) -> None:
        raise AssertionError(f"no values, and yet {name} was recorded")

    async def lease(self) -> dict[str, Any] | None:
        """Return the Lease of the test. Without one it is free."""
        return self.held

    async def write_lease(self, lease: Any) -> bool:
        assert lease["spec"]["holderIdentity"] == "ns/me"
        return True


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
async def relay(cluster: MemoryCluster) -> AsyncIterator[dict[str, Any]]:
    """A relay on node a, whose report is the dict."""
    held: dict[str, Any] = {}

    async def status(_request: web.Request) -> web.StreamResponse:
        return web.json_response(held) if held else web.Response(status=503)

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pod = RelayPod("relay-a", "uid-relay-a", "a", "127.0.0.1", runner.addresses[0][1])
    cluster.view = replace(cluster.view, relays=(pod,))
    yield held
    await runner.cleanup()


@pytest.fixture
def later() -> list[float]:
    """Seconds that the clock is ahead, so that no test waits for them."""
    return [0.0]


@pytest.fixture
async def reconciler(cluster: MemoryCluster, later: list[float]) -> AsyncIterator[Reconciler]:
    def monotonic() -> float:
        return time.monotonic() + later[0]

    leadership = Leadership(cluster, "ns/me", monotonic)
    made = Reconciler(cluster, Poller(None, monotonic=monotonic), leadership, TrustPolicy("voice"), monotonic)
    yield made
    await made.close()


async def one_round(reconciler: Reconciler, polls: int = MISSED_POLLS) -> None:
    """Run one round of each loop in order, with so many polls of each relay."""
    if not reconciler._leadership.leads():
        await reconciler._leadership.hold()
    await reconciler._configure()
    snapshot = reconciler._configurator.snapshot
    assert snapshot is not None
    for _ in range(polls):
        for pod in snapshot.view.relays:
            await reconciler._poller.ask(pod)
    reconciler._poller.keep_only(snapshot.view.relays)
    reconciler._poller.tick()
    await reconciler._report_statuses(snapshot, with_calls=True)


async def test_a_pool_reaches_the_configuration_and_the_pods(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await one_round(reconciler)
    (text,) = cluster.writes
    entry = decode_for_node(text, "a")
    assert entry is not None
    assert entry.uid == "uid-default"
    assert [name for name, _ in cluster.refreshed] == ["relay-a"]


async def test_what_stands_is_not_written_again(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    relay |= to_json(make_report(make_pool()))
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    for _ in range(5):
        await one_round(reconciler)
    assert (len(cluster.writes), len(cluster.refreshed), len(cluster.statuses)) == (1, 1, 1)


async def test_programmed_comes_from_the_relay_s_report_and_not_from_the_write(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(replace(pool, generation=2)))
    cluster.view = replace(cluster.view, pools=(pool,))
    await one_round(reconciler)
    first = {each["type"]: each["status"] for each in cluster.statuses[-1]["conditions"]}
    assert (first["Programmed"], first["Ready"]) == ("False", "False")
    assert cluster.events[-1].reason == "NotReady" or cluster.events[0].reason == "NotReady"


async def test_a_missing_api_server_leaves_everything_as_it_is(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await one_round(reconciler)
    cluster.away = True
    with pytest.raises(ClusterError):
        await one_round(reconciler)
    assert len(cluster.writes) == 1


async def test_the_absence_of_the_api_server_is_said_once_and_its_return_as_well(
    cluster: MemoryCluster, reconciler: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    cluster.away = True
    task = asyncio.create_task(reconciler.run())
    await until(lambda: reconciler.counts.totals["failed_cycles"] >= 1)
    reconciler.wake()
    await until(lambda: reconciler.counts.totals["failed_cycles"] >= 2)
    reconciler.wake()
    assert reconciler.problem is not None
    cluster.away = False
    reconciler.wake()
    await until(lambda: reconciler.problem is None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len([line for line in caplog.messages if "can't be reached" in line]) == 1
    assert "reconciling" in caplog.messages
    assert reconciler.counts.totals["failed_cycles"] >= 2


async def test_a_deleted_pool_leaves_the_configuration(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await one_round(reconciler)
    cluster.view = replace(cluster.view, pools=())
    await one_round(reconciler)
    assert decode_for_node(cluster.writes[-1], "a") is None


class Held(Leadership):
    """A lease that another operator holds."""

    async def hold(self) -> str | None:
        return "operator ns/other holds the lease"


async def test_an_operator_without_the_lease_writes_nothing(
    cluster: MemoryCluster, relay: dict[str, Any], make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    poller = Poller(None)
    waiting = Reconciler(cluster, poller, Held(cluster, "ns/me"), TrustPolicy("voice"))
    with pytest.raises(NotLeadingError):
        await one_round(waiting)
    task = asyncio.create_task(waiting.run())
    await until(lambda: "ns/other holds the lease" in (waiting.problem or ""))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await waiting.close()
    assert (cluster.writes, cluster.refreshed, cluster.statuses, cluster.events) == ([], [], [], [])


async def test_a_lease_that_ends_in_the_middle_of_a_round_ends_its_writes(
    cluster: MemoryCluster, relay: dict[str, Any], make_pool: MakePool
) -> None:
    assert relay == {}
    clock = [0.0]
    leadership = Leadership(cluster, "ns/me", lambda: clock[0])
    poller = Poller(None)
    slow = Reconciler(cluster, poller, leadership, TrustPolicy("voice"))
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    write = cluster.write

    async def slowly(text: str) -> None:
        await write(text)
        clock[0] += DURATION_SECONDS

    cluster.write = slowly  # type: ignore[method-assign]
    with pytest.raises(NotLeadingError):
        await one_round(slow)
    await slow.close()
    assert len(cluster.writes) == 1
    assert (cluster.refreshed, cluster.statuses) == ([], [])


async def test_a_status_edited_by_somebody_else_is_written_anew(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    make_report: Any,
    later: list[float],
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(pool))
    cluster.view = replace(cluster.view, pools=(pool,))
    await one_round(reconciler)
    good = cluster.statuses[-1]
    cluster.edit_status(pool.uid, {**good, "activeCalls": 77})
    later[0] += MIN_PAUSE_SECONDS
    await one_round(reconciler)
    assert cluster.statuses[1:] == [good]


async def test_what_an_older_definition_drops_is_not_written_for_ever(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    make_report: Any,
    later: list[float],
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(pool))
    cluster.pruned = {"summary", "relayCount"}
    cluster.view = replace(cluster.view, pools=(pool,))
    for _ in range(3):
        await one_round(reconciler)
        later[0] += 2 * MIN_PAUSE_SECONDS
    assert len(cluster.statuses) == 1


async def test_one_pool_whose_status_is_refused_stops_no_other_and_is_told_once(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool("bad"), make_pool("good", nodeSelector={"zone": "1"})))
    cluster.refused = {"bad"}
    for _ in range(3):
        await one_round(reconciler)
    assert len(cluster.statuses) == 1
    assert reconciler.counts.errors["status"] == 1, "a refused status is not tried at every look"
    assert len([line for line in caplog.messages if "no integer" in line]) == 1


async def test_a_status_that_met_another_write_is_written_in_the_next_round(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    cluster.conflicts = 1
    await one_round(reconciler)
    assert cluster.statuses == []
    await one_round(reconciler)
    assert len(cluster.statuses) == 1
    assert reconciler.counts.totals["status_writes"] == 1


async def test_a_pool_that_breaks_the_arithmetic_stops_no_other(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    broken = replace(make_pool("broken"), generation=None)  # type: ignore[arg-type]
    broken = replace(broken, status={"conditions": [None]})
    cluster.view = replace(cluster.view, pools=(make_pool("good"), broken))
    await one_round(reconciler)
    assert len(cluster.statuses) == 1
    assert reconciler.counts.errors["status"] == 1


async def test_events_that_can_not_be_written_are_counted_and_cost_no_status(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    cluster.refuses_events = True
    await one_round(reconciler)
    assert len(cluster.statuses) == 1
    assert reconciler.counts.errors["event"] >= 1
    assert reconciler.counts.totals["events"] == 0


async def test_one_pod_that_can_not_be_annotated_stops_no_other(
    cluster: MemoryCluster, reconciler: Reconciler, make_pool: MakePool, make_relay: Callable[..., RelayPod]
) -> None:
    relays = tuple(replace(make_relay(node), address=None) for node in "abc")
    cluster.view = replace(
        cluster.view, pools=(make_pool(),), relays=relays, nodes={node: Node(node) for node in "abc"}
    )
    cluster.refuses_pods = {"relay-a"}
    await one_round(reconciler)
    assert sorted(name for name, _ in cluster.refreshed) == ["relay-b", "relay-c"]
    cluster.refuses_pods = set()
    await one_round(reconciler)
    assert sorted(name for name, _ in cluster.refreshed) == ["relay-a", "relay-b", "relay-c"]


async def test_an_edit_annotates_only_the_relays_concerned(
    cluster: MemoryCluster, reconciler: Reconciler, make_pool: MakePool, make_relay: Callable[..., RelayPod]
) -> None:
    relays = tuple(replace(make_relay(node), address=None) for node in "ab")
    nodes = {"a": Node("a", {"zone": "1"}), "b": Node("b", {"zone": "2"})}
    one, two = (make_pool(f"zone-{zone}", nodeSelector={"zone": zone}) for zone in "12")
    cluster.view = replace(cluster.view, pools=(one, two), relays=relays, nodes=nodes)
    await one_round(reconciler)
    cluster.refreshed.clear()
    cluster.view = replace(cluster.view, pools=(one, replace(two, generation=4)))
    await one_round(reconciler)
    assert [name for name, _ in cluster.refreshed] == ["relay-b"]


async def test_a_relay_that_stays_behind_is_annotated_again(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    make_report: Any,
    later: list[float],
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(pool, generation=2))
    cluster.view = replace(cluster.view, pools=(pool,))
    for _ in range(4):
        await one_round(reconciler)
        later[0] += FIRST_NUDGE_SECONDS
    (_, first), (_, second) = cluster.refreshed
    assert second == f"{first}.1", "and the next one only after some seconds more"


async def test_a_configuration_deleted_by_hand_comes_back_with_the_paused_pool_in_it(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool
) -> None:
    assert relay == {}
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await one_round(reconciler)
    cluster.view = replace(cluster.view, pools=(make_pool(paused=True),), written=None)
    await one_round(reconciler)
    assert cluster.writes[0] == cluster.writes[1]


async def test_a_pool_is_logged_when_it_is_seen_flips_and_goes(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert relay == {}
    caplog.set_level("INFO")
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    await one_round(reconciler)
    cluster.view = replace(cluster.view, pools=())
    await one_round(reconciler)
    lines = [(record.message, record.__dict__.get("fields", {})) for record in caplog.records]
    assert ("pool seen", {"pool": "voice/default", "generation": 3, "nodes": 1}) in lines
    assert ("pool removed", {"pool": "voice/default", "generation": 3}) in lines
    assert [
        fields["status"] for text, fields in lines if text == "condition changed" and fields["condition"] == "Accepted"
    ]


async def test_a_pool_that_is_not_honoured_gets_a_status_with_the_value_to_set_and_no_node(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    ours, tenant = make_pool(), make_pool("mine", namespace="tenant", nodeSelector={})
    relay |= to_json(make_report(ours))
    cluster.view = replace(cluster.view, pools=(ours, tenant))
    await one_round(reconciler)
    entry = decode_for_node(cluster.writes[-1], "a")
    assert entry is not None
    assert entry.uid == ours.uid
    stored = next(pool.status for pool in cluster.view.pools if pool.namespace == "tenant")
    accepted = next(each for each in stored["conditions"] if each["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NamespaceNotHonoured")
    assert "operator.poolNamespaces" in accepted["message"]


async def test_a_loop_that_fails_is_started_again_and_the_others_go_on(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert relay == {}
    monkeypatch.setattr(periodic, "RESTART_SECONDS", 0.01)
    failures = iter([RuntimeError("can't start new thread"), MemoryError()])
    held_until_seconds = StatusReporter.held_until_seconds

    def fail_twice(reporter: StatusReporter) -> float:
        for failure in failures:
            raise failure
        return held_until_seconds(reporter)

    monkeypatch.setattr(StatusReporter, "held_until_seconds", fail_twice)
    cluster.view = replace(cluster.view, pools=(make_pool(),))
    task = asyncio.create_task(reconciler.run())
    await until(lambda: reconciler.jobs.failures().get("report loop") == 2)
    await until(lambda: bool(cluster.statuses) and reconciler.problem is None)
    assert not task.done()
    assert sum("report loop failed at" in line for line in caplog.messages) == 2, "each cause once"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_round_that_fails_by_a_bug_is_logged_once_and_counted_each_time(
    cluster: MemoryCluster, reconciler: Reconciler, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> ClusterView:
        raise RuntimeError("can't start new thread")

    cluster.read_view = broken  # type: ignore[method-assign]
    task = asyncio.create_task(reconciler.run())
    await until(lambda: "can't start new thread" in (reconciler.problem or ""))
    reconciler._wake.set()
    await until(lambda: reconciler.counts.totals["failed_cycles"] >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len([line for line in caplog.messages if line == "a round failed"]) == 1
    assert reconciler.counts.errors[CONFIGURE] == reconciler.counts.totals["failed_cycles"]


async def test_a_stall_of_the_operator_makes_no_relay_silent(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    make_report: Any,
    later: list[float],
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(pool))
    cluster.view = replace(cluster.view, pools=(pool,))
    await one_round(reconciler)
    snapshot = reconciler._configurator.snapshot
    assert snapshot is not None
    later[0] += 10 * STALE_AFTER_SECONDS
    await reconciler._leadership.hold()
    await reconciler._report_statuses(snapshot, with_calls=True)
    reasons = {each["type"]: each["reason"] for each in cluster.statuses[-1]["conditions"]}
    assert reasons["Programmed"] == "Programmed"
    relay.clear()
    await one_round(reconciler)
    for _ in range(4):
        later[0] += POLL_SECONDS
        await reconciler._leadership.hold()
        await one_round(reconciler, polls=0)
    reasons = {each["type"]: each["reason"] for each in cluster.statuses[-1]["conditions"]}
    assert reasons["Programmed"] == "RelaySilent", "the polls after the stall have failed for six seconds"


async def test_a_pool_that_is_edited_in_a_loop_makes_at_most_five_rounds_a_second(
    cluster: MemoryCluster, reconciler: Reconciler
) -> None:
    began: list[float] = []
    read_view = cluster.read_view

    def record() -> ClusterView:
        began.append(time.monotonic())
        reconciler.wake()
        return read_view()

    cluster.read_view = record  # type: ignore[method-assign]
    task = asyncio.create_task(reconciler.run())
    await until(lambda: len(began) >= 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    pauses = [later - earlier for earlier, later in pairwise(began)]
    assert min(pauses) > 0.9 * MIN_ROUND_SECONDS, "no round follows at once"
    assert max(pauses) < 0.9 * POLL_SECONDS, "each edit starts a round"


async def test_a_new_leader_writes_no_status_of_a_relay_that_has_missed_fewer_than_three_polls(
    cluster: MemoryCluster,
    relay: dict[str, Any],
    reconciler: Reconciler,
    make_pool: MakePool,
    make_relay: Callable[..., RelayPod],
    make_report: Any,
) -> None:
    heard, silent = make_pool("heard", nodeSelector={"zone": "1"}), make_pool("silent", nodeSelector={"zone": "2"})
    relay |= to_json(make_report(heard))
    cluster.view = replace(
        cluster.view,
        pools=(heard, silent),
        relays=(*cluster.view.relays, replace(make_relay("b"), address=None)),
        nodes={"a": Node("a", {"zone": "1"}), "b": Node("b", {"zone": "2"})},
    )
    written = []
    for _ in range(MISSED_POLLS):
        await one_round(reconciler, polls=1)
        written.append([pool.name for pool in cluster.view.pools if pool.status])
    assert written == [["heard"], ["heard"], ["heard", "silent"]]


async def test_an_operator_that_leads_again_starts_over_from_the_cluster_and_the_relays(
    cluster: MemoryCluster, relay: dict[str, Any], reconciler: Reconciler, make_pool: MakePool, make_report: Any
) -> None:
    pool = make_pool()
    relay |= to_json(make_report(pool))
    cluster.view = replace(cluster.view, pools=(pool,))
    await one_round(reconciler)
    relay.clear()
    reconciler._reporter.begin()
    cluster.edit_status(pool.uid, {})
    await one_round(reconciler, polls=1)
    assert len(cluster.statuses) == 1, "its own report of before counts as little as one missed poll"
    await one_round(reconciler, polls=1)
    await one_round(reconciler, polls=1)
    assert len(cluster.statuses) == 2
