"""The nodes of a cluster, and clusters that a stopped engine or an earlier configuration left behind."""

import json
from pathlib import Path

import pytest

from lab.cluster.host.machine import Machine
from lab.cluster.kind.kind_cluster import are_written, have_their_addresses
from lab.cluster.kind.kind_config import kind_config
from lab.cluster.kind.shape import MAIN, ONE_NODE, Shape

POLICY = Path("/cache/audit-policy.json")


def test_nodes_that_got_each_others_addresses_are_not_the_nodes_that_joined() -> None:
    containers = "/worker 172.18.0.3\n/worker2 172.18.0.2\n"
    nodes = "worker 172.18.0.2\nworker2 172.18.0.3\n"
    assert not have_their_addresses(containers, nodes)


def test_the_order_in_which_nodes_are_listed_does_not_matter() -> None:
    assert have_their_addresses("/b 10.0.0.2\n/a 10.0.0.1 \n", "a 10.0.0.1\nb 10.0.0.2\n\n")


def test_a_container_may_have_an_address_of_a_family_that_the_cluster_does_not_use() -> None:
    assert have_their_addresses("/a 10.0.0.1 fd00::1\n", "a fd00::1\n")
    assert not have_their_addresses("/a 10.0.0.1\n", "a 10.0.0.1 fd00::1\n")


def test_a_container_without_an_address_is_not_alive() -> None:
    assert not have_their_addresses("/a \n", "a 10.0.0.1\n")
    assert not have_their_addresses("/a \n", "a \n")


@pytest.mark.parametrize(("shape", "nodes"), [(MAIN, 3), (ONE_NODE["ipv6"], 1), (ONE_NODE["dual"], 1)])
def test_a_cluster_has_its_nodes_and_its_family(shape: Shape, nodes: int) -> None:
    machine = Machine(is_root=True, has_apt=True, may_raise_limits=True, has_cgroup_v2=True)
    config = json.loads(kind_config(machine, shape, POLICY, made_node_image=False))
    assert (len(config["nodes"]), config["networking"]) == (nodes, {"ipFamily": shape.family})


def test_a_cluster_of_the_same_files_is_used_again(tmp_path: Path) -> None:
    files = {tmp_path / "kind.json": "{}", tmp_path / "audit-policy.json": "all"}
    for file, text in files.items():
        file.write_text(text)
    assert are_written(files)


def test_a_cluster_from_before_the_audit_policy_or_of_another_one_is_not(tmp_path: Path) -> None:
    policy = tmp_path / "audit-policy.json"
    assert not are_written({policy: "all"})
    policy.write_text("none")
    assert not are_written({policy: "all"})
