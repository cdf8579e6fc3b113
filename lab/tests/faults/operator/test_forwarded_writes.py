from __future__ import annotations

import json

import pytest

from lab.faults.operator.api.forwarded_writes import ForwardedWrite, holder_in, writes_without_lease

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/rtp-pool-operator"
CONFIG = "/api/v1/namespaces/voice/configmaps/rtp-relay-config"
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rtppools.rtppool.dev"


def held(at: float, holder: str) -> ForwardedWrite:
    return ForwardedWrite(at - 0.1, at, LEASE, holder)


def wrote(began: float, path: str = CONFIG) -> ForwardedWrite:
    return ForwardedWrite(began, began + 0.1, path)


def test_writes_of_the_holder_are_its_right() -> None:
    assert writes_without_lease({"a": [held(1, "a"), wrote(2)], "b": [held(20, "b"), wrote(21)]}) == []


def test_a_write_after_another_has_taken_the_lease_is_found() -> None:
    found = writes_without_lease({"a": [held(1, "a"), wrote(2), wrote(21)], "b": [held(20, "b")]})
    assert found == [f"a wrote {CONFIG} while b held the lease"]


def test_a_write_after_the_release_of_the_lease_is_found() -> None:
    assert writes_without_lease({"a": [held(1, "a"), held(5, ""), wrote(6)]}) == [
        f"a wrote {CONFIG} while no operator held the lease"
    ]


@pytest.mark.parametrize("free", [wrote(6, DEFINITION), ForwardedWrite(6, 7, LEASE, "a"), wrote(4.95)])
def test_the_lease_the_definition_and_a_write_that_had_begun_are_no_breach(free: ForwardedWrite) -> None:
    assert writes_without_lease({"a": [held(1, "a"), free], "b": [held(5, "b")]}) == []


def test_the_holder_before_the_first_write_of_the_lease_is_unknown() -> None:
    assert writes_without_lease({"a": [wrote(1), held(2, "a")], "b": []}) == []


def test_only_a_lease_has_a_holder() -> None:
    lease = {"spec": {"holderIdentity": "voice/rtp-operator-1"}}
    assert holder_in(LEASE, json.dumps(lease).encode()) == "voice/rtp-operator-1"
    assert holder_in(CONFIG, b'{"data": {}}') is None
