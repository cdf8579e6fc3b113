"""The values of the default pool are applied when due, and a refusal is a sentence and no end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.cluster import Cluster
from rtppool_operator.kube.writer import NotLeadingError, Writer
from rtppool_operator.loop.configure import REFUSED_RETRY_SECONDS, DefaultPoolKeeper
from rtppool_operator.pools.default_pool import DefaultPool
from rtppool_operator.pools.spec import ClusterView, Pool
from rtppool_operator.work_counters import WorkCounters

EMPTY = ClusterView((), (), {}, "")
VALUES = DefaultPool("default", managed=True, spec={"portRange": {"start": 10000, "end": 10100}})


class Store(Cluster):
    """An API server that may refuse."""

    def __init__(self) -> None:
        self.error: ClusterError | None = None
        self.applied: list[Mapping[str, Any]] = []
        self.recorded: list[str] = []

    async def apply_default_pool(self, document: Mapping[str, Any]) -> None:
        if self.error is not None:
            raise self.error
        self.applied.append(document)

    async def record_default_pool(self, name: str) -> None:
        self.recorded.append(name)


class Stage:
    """A keeper with a clock that the test sets."""

    def __init__(self) -> None:
        self.now_seconds = 100.0
        self.leads = True
        self.store = Store()
        self.counts = WorkCounters()
        self._writer = Writer(lambda: self.leads, self.counts)

    def keeper(self, values: DefaultPool | None = VALUES) -> DefaultPoolKeeper:
        return DefaultPoolKeeper(self.store, self._writer, values, "voice", lambda: self.now_seconds)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_without_values_nothing_is_written_and_nothing_is_missing(stage: Stage) -> None:
    keeper = stage.keeper(None)
    assert not await keeper.run_round(EMPTY)
    assert (stage.store.applied, stage.store.recorded, keeper.problem) == ([], [], None)


async def test_the_pool_is_made_and_the_operator_is_not_ready_before(stage: Stage) -> None:
    keeper = stage.keeper()
    assert keeper.problem == "the default pool default was not applied yet"
    assert await keeper.run_round(EMPTY)
    assert [document["metadata"]["name"] for document in stage.store.applied] == ["default"]
    assert keeper.problem is None


async def test_a_pool_that_exists_is_recorded_once(stage: Stage, make_pool: Callable[..., Pool]) -> None:
    keeper = stage.keeper()
    there = replace(EMPTY, pools=(replace(make_pool(), values_digest=VALUES.digest),))
    assert not await keeper.run_round(there)
    assert not await keeper.run_round(replace(there, default_pool="default"))
    assert (stage.store.applied, stage.store.recorded) == ([], ["default"])


async def test_a_refusal_is_said_once_counted_and_retried(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    keeper = stage.keeper()
    stage.store.error = ClusterError("apply rtppool voice/default: 422 spec.maxCalls: accepted is 1 to 4096", 422)
    for _ in range(3):
        assert not await keeper.run_round(EMPTY)
        stage.now_seconds += REFUSED_RETRY_SECONDS / 2
    sentence = f"the values of the default pool default can't be applied: {stage.store.error}"
    assert keeper.problem == sentence
    assert caplog.messages == [sentence]
    assert stage.counts.errors["default_pool"] == 2, "every ten seconds, not in every round"
    stage.store.error = None
    stage.now_seconds += REFUSED_RETRY_SECONDS
    assert await keeper.run_round(EMPTY)
    assert keeper.problem is None


async def test_an_api_server_that_is_away_is_asked_again_in_the_next_round(stage: Stage) -> None:
    keeper = stage.keeper()
    stage.store.error = ClusterError("apply rtppool voice/default: the API server can't be reached")
    assert not await keeper.run_round(EMPTY)
    stage.store.error = None
    assert await keeper.run_round(EMPTY)


async def test_without_the_lease_nothing_is_written(stage: Stage) -> None:
    stage.leads = False
    with pytest.raises(NotLeadingError):
        await stage.keeper().run_round(EMPTY)
    assert stage.store.applied == []
