"""One operator per cluster, and a definition that is never downgraded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from rtppool_core.settings import SettingsError
from rtppool_operator.crd import apply_crd, is_older, revision_of
from rtppool_operator.lease import Held, Leadership, may_take
from rtppool_operator.settings import read_settings

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "charts/rtp-pool/crds/rtppools.yaml"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "taken"),
    [
        (None, True),
        (Held("", NOW, 15), True),
        (Held("me", NOW, 15), True),
        (Held("other", NOW - timedelta(seconds=14), 15), False),
        (Held("other", NOW - timedelta(seconds=16), 15), True),
        (Held("other", None, 15), True),
    ],
)
def test_a_lease_is_taken_when_it_is_free_mine_or_over(held: Held | None, taken: bool) -> None:
    assert may_take(held, "me", NOW) is taken


class Store:
    """Leases in memory, with resource versions as the API server keeps them."""

    def __init__(self) -> None:
        self.kept: Any | None = None
        self.version = 0

    def lease(self, namespace: str, name: str) -> Any | None:
        assert (namespace, name) == ("kube-system", "rtp-pool-operator")
        return self.kept

    def write_lease(self, namespace: str, name: str, lease: Any, *, exists: bool) -> bool:
        assert (namespace, name) == ("kube-system", "rtp-pool-operator")
        if exists and lease["metadata"]["resourceVersion"] != str(self.version):
            return False
        self.version += 1
        self.kept = SimpleNamespace(
            metadata=SimpleNamespace(resource_version=str(self.version)),
            spec=SimpleNamespace(
                holder_identity=lease["spec"]["holderIdentity"],
                renew_time=datetime.fromisoformat(lease["spec"]["renewTime"]),
                lease_duration_seconds=lease["spec"]["leaseDurationSeconds"],
            ),
        )
        return True


def test_of_two_operators_one_holds_and_the_other_waits_for_its_end() -> None:
    store, clock = Store(), [NOW]
    one, two = (Leadership(store, name, lambda: clock[0]) for name in ("ns/one", "ns/two"))
    assert one.hold() is None
    assert two.hold() == "ns/one"
    clock[0] += timedelta(seconds=10)
    assert one.hold() is None
    clock[0] += timedelta(seconds=10)
    assert two.hold() == "ns/one"
    clock[0] += timedelta(seconds=6)
    assert two.hold() is None
    assert one.hold() == "ns/two"


def test_a_lease_that_was_given_up_is_taken_at_once() -> None:
    store = Store()
    one, two = (Leadership(store, name, lambda: NOW) for name in ("ns/one", "ns/two"))
    assert one.hold() is None
    one.give_up()
    assert two.hold() is None
    one.give_up()
    assert two.hold() is None, "what is another's is not given up"


class Definitions:
    """A CRD in memory."""

    def __init__(self, standing: dict[str, Any] | None) -> None:
        self.standing = standing
        self.managers: list[str] = []

    def definition(self) -> dict[str, Any] | None:
        return self.standing

    def apply_definition(self, document: Mapping[str, Any], manager: str) -> None:
        self.managers.append(manager)
        self.standing = dict(document)


def crd(revision: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"rtppool.dev/crd-revision": revision} if revision else {}}}


def test_a_missing_or_older_definition_is_applied_as_helm() -> None:
    for standing in (None, crd(None), crd("0")):
        store = Definitions(standing)
        assert apply_crd(store, CRD)
        assert store.managers == ["helm"]


def test_a_newer_or_equal_definition_stands() -> None:
    own = revision_of(yaml.safe_load(CRD.read_text()))
    for standing in (crd(str(own)), crd("99")):
        store = Definitions(standing)
        assert not apply_crd(store, CRD)
        assert store.standing is standing


def test_a_revision_that_is_no_number_counts_as_none() -> None:
    assert revision_of(crd("abc")) == 0
    assert is_older(crd("abc"), crd("1"))


def test_settings_without_a_namespace_or_a_definition_are_refused_together() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"CRD_FILE": "/nowhere.yaml", "HTTP_PORT": "0"})
    problems = refused.value.problems
    assert len(problems) == 3
    assert any(problem.startswith("POD_NAMESPACE=") for problem in problems)
    assert any(problem.startswith("CRD_FILE=/nowhere.yaml") for problem in problems)


def test_settings_have_defaults() -> None:
    settings = read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD)})
    assert (settings.http_port, settings.relay_token_file) == (9092, None)
