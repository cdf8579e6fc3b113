from __future__ import annotations

import pytest

from lab.faults.operator.api.faulty_proxy import Faults, Refusal, verb_of
from lab.faults.operator.api.watch_stream import WatchFaults

POOLS = "/apis/rtppool.dev/v1alpha1/rtppools"


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", POOLS, {}, "list"),
        ("GET", POOLS, {"watch": "true"}, "watch"),
        ("GET", "/api/v1/namespaces/voice/configmaps/rtp-relay-config", {}, "get"),
        ("GET", "/api/v1/namespaces/voice/pods", {"labelSelector": "a=b"}, "list"),
        ("POST", "/api/v1/namespaces/voice/events", {}, "create"),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x", {}, "update"),
        ("PATCH", f"{POOLS}/a/status", {}, "patch"),
    ],
)
def test_requests_have_the_verbs_of_rbac(method: str, path: str, query: dict[str, str], verb: str) -> None:
    assert verb_of(method, path, query) == verb


def test_a_refusal_holds_for_its_verbs_and_path_as_often_as_it_says() -> None:
    refusal = Refusal(409, frozenset({"patch"}), path="/status$", times=1)
    assert not refusal.fits("patch", f"{POOLS}/a")
    assert not refusal.fits("get", f"{POOLS}/a/status")
    assert refusal.fits("patch", f"{POOLS}/a/status")
    refusal.count()
    assert not refusal.fits("patch", f"{POOLS}/a/status")


def test_faults_that_are_cleared_are_none() -> None:
    faults = Faults([Refusal(500, frozenset({"get"}))], WatchFaults(bookmarks_only=True, behind=True))
    faults.cut_off()
    faults.clear()
    assert faults == Faults()
