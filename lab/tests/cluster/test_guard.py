from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.base.errors import LabError
from lab.cluster.kind.guard import (
    Record,
    Target,
    check_may_delete,
    check_may_touch,
    choose_target,
    kind_cluster_of,
    read_record,
)

OWN = Target("kind-rtp-pool", Path("/cache/kubeconfig"), own=True)
NAMED = Target("production", None, own=False)


def test_without_a_name_only_our_own_cluster_in_our_own_kubeconfig_is_worked_on() -> None:
    assert choose_target(None, Path("/cache/kubeconfig")) == OWN
    assert choose_target("", Path("/cache/kubeconfig")) == OWN


def test_a_named_context_is_looked_up_in_the_users_own_configuration() -> None:
    assert choose_target("production", Path("/cache/kubeconfig")) == NAMED


def test_every_command_names_its_cluster_so_that_the_current_context_never_counts() -> None:
    assert OWN.kubectl_arguments() == ["--kubeconfig", "/cache/kubeconfig", "--context", "kind-rtp-pool"]
    assert OWN.helm_arguments() == ["--kubeconfig", "/cache/kubeconfig", "--kube-context", "kind-rtp-pool"]
    assert NAMED.kubectl_arguments() == ["--context", "production"]


def test_the_cluster_that_was_made_here_may_be_touched() -> None:
    check_may_touch(OWN, Record("rtp-pool", "abc"), "abc")


def test_a_cluster_that_is_still_being_made_may_be_touched() -> None:
    check_may_touch(OWN, Record("rtp-pool", ""), "abc")


def test_a_cluster_without_a_record_is_refused_with_the_way_to_name_it() -> None:
    with pytest.raises(LabError, match="KUBE_CONTEXT=kind-rtp-pool"):
        check_may_touch(OWN, None, "abc")


def test_another_cluster_behind_our_own_name_is_refused() -> None:
    with pytest.raises(LabError, match=r"kube-system has uid xyz, recorded is abc"):
        check_may_touch(OWN, Record("rtp-pool", "abc"), "xyz")


def test_a_cluster_that_the_user_named_may_be_touched_without_a_record() -> None:
    check_may_touch(NAMED, None, "xyz")
    check_may_touch(NAMED, Record("rtp-pool", "abc"), "xyz")


def test_a_cluster_of_our_name_that_somebody_else_made_is_not_deleted() -> None:
    with pytest.raises(LabError, match="kind delete cluster --name rtp-pool"):
        check_may_delete(None)
    check_may_delete(Record("rtp-pool", ""))


@given(st.builds(Record, st.text(), st.text()))
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert read_record(record.to_text()) == record


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", "{}", '{"name": "rtp-pool"}', "7"])
def test_what_is_no_record_counts_as_none(text: str | None) -> None:
    assert read_record(text) is None


@pytest.mark.parametrize(
    ("context", "name"), [("kind-a-b", "a-b"), ("production", None), ("kind-", None), ("kind", None)]
)
def test_nodes_are_looked_for_only_behind_a_context_of_kind(context: str, name: str | None) -> None:
    assert kind_cluster_of(Target(context, None, own=False)) == name
