"""The definition is installed in the background, and an older one is enough to start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtppool_operator.kube import crd
from rtppool_operator.kube.api_server import ClusterError
from rtppool_operator.kube.crd import REVISION_ANNOTATION, DefinitionKeeper, read_definition
from rtppool_testing.waiting import until

CRD = Path(__file__).resolve().parents[3] / "charts/rtp-pool/files/rtppools.yaml"
OURS = read_definition(CRD)


class Store(DefinitionKeeper):
    """The CRD of an API server that may reject a change, and serves it after a while."""

    def __init__(self, standing: dict[str, Any] | None, *, applies: bool = True) -> None:
        super().__init__(None, OURS, applies=applies)  # type: ignore[arg-type] # no API server is asked
        self.standing = standing
        self.refuses = False
        self.away = False
        self.looks_until_served = 0
        self.applied = 0

    async def find_definition(self) -> dict[str, Any] | None:
        if self.away:
            raise ClusterError("get crd: the API server can't be reached")
        return self.standing

    async def serves_pools(self) -> bool:
        if self.away:
            raise ClusterError("get /apis: the API server can't be reached")
        self.looks_until_served -= 1
        return self.standing is not None and self.looks_until_served < 0

    async def write_definition(self, document: Mapping[str, Any]) -> None:
        if self.refuses:
            raise ClusterError("apply crd: 403 forbidden", 403)
        self.applied += 1
        self.standing = dict(document)


def standing(revision: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(CRD.read_text())
    document["metadata"]["annotations"][REVISION_ANNOTATION] = revision
    return document


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crd, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(crd, "SLOW_RETRY_SECONDS", 0.02)


async def test_a_missing_definition_is_applied_and_waited_for() -> None:
    store = Store(None)
    store.looks_until_served = 5
    await store.run()
    assert (store.applied, store.problem, store.served.is_set()) == (1, None, True)


async def test_an_older_one_that_can_not_be_replaced_is_worked_with_and_told() -> None:
    store = Store(standing("0"))
    store.refuses = True
    task = asyncio.create_task(store.run())
    await until(store.served.is_set)
    assert "403 forbidden" in (store.problem or "")
    store.refuses = False
    await task
    assert (store.applied, store.problem) == (1, None)


@pytest.mark.parametrize(
    ("found", "state"), [(None, "is missing"), (standing("0"), "has revision 0")], ids=["missing", "older"]
)
async def test_a_definition_of_an_administrator_is_waited_for_and_never_applied(
    found: dict[str, Any] | None, state: str
) -> None:
    store = Store(found, applies=False)
    task = asyncio.create_task(store.run())
    await until(lambda: f"the CRD rtppools.rtppool.dev {state}" in (store.problem or ""))
    assert "crds.install is false" in (store.problem or "")
    store.standing = standing("99")
    await task
    assert (store.applied, store.problem) == (0, None)


async def test_a_server_that_is_away_at_the_start_is_waited_for_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(standing("99"))
    store.away = True
    task = asyncio.create_task(store.run())
    await until(lambda: "can't be reached" in (store.problem or ""))
    await asyncio.sleep(0.1)
    assert not store.served.is_set()
    store.away = False
    await task
    assert (store.applied, store.problem) == (0, None), "a newer one stands"
    for what in ("applied", "read"):
        assert len([line for line in caplog.messages if f"can't be {what}" in line]) == 1


async def test_without_one_that_serves_nothing_is_watched() -> None:
    store = Store(None)
    store.refuses = True
    task = asyncio.create_task(store.run())
    await until(lambda: "403" in (store.problem or ""))
    assert not store.served.is_set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_upgrade_s_job_waits_until_pools_are_served_or_says_that_they_are_not() -> None:
    store = Store(standing("99"))
    store.looks_until_served = 1
    await store.wait_until_served(10.0)
    assert store.looks_until_served == -1
    store.looks_until_served = 10_000
    with pytest.raises(ClusterError, match="v1alpha1 is not served after 0 s"):
        await store.wait_until_served(0.0)


async def test_a_failure_of_another_kind_is_logged_once_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(None)
    definition, serves_pools = store.find_definition, store.serves_pools
    failures = iter([RuntimeError("can't start new thread")] * 5)

    async def broken(call: Callable[[], Awaitable[Any]]) -> Any:
        for failure in failures:
            raise failure
        return await call()

    store.find_definition = partial(broken, definition)  # type: ignore[method-assign]
    store.serves_pools = partial(broken, serves_pools)  # type: ignore[method-assign]
    await store.run()
    assert (store.applied, store.problem, store.served.is_set()) == (1, None, True)
    assert len([line for line in caplog.messages if "can't start new thread" in line]) == 2, "once for each action"
