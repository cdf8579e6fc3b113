import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.base.places import RECIPES, REPOSITORY, find_places
from lab.cluster import versions
from lab.cluster.host.engine import dockerd_command
from lab.cluster.host.machine import Machine
from lab.cluster.images.bases import recipe_of
from lab.cluster.images.node_image import runs_public_nodes
from lab.cluster.kind.kind_config import kind_config
from lab.cluster.kind.shape import MAIN
from lab.cluster.programs import builds as programs
from lab.cluster.programs import go_toolchain

ABLE = Machine(is_root=True, has_apt=True, may_raise_limits=True, has_cgroup_v2=True)
POLICY = Path("/cache/audit-policy.json")
BOUNDED = Machine(is_root=True, has_apt=True, may_raise_limits=False, has_cgroup_v2=False)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Client Version: v1.36.4\nKustomize Version: v5.8.1", (1, 36)),
        ("kind v0.33.0 go1.26.8 linux/amd64", (0, 33)),
        ("v4.3.1+g1234567", (4, 3)),
        ("command not found", (0, 0)),
    ],
)
def test_a_programs_version_is_read_from_what_it_prints(printed: str, version: tuple[int, int]) -> None:
    assert programs.read_version(printed) == version


def test_gos_version_is_read_from_what_it_prints() -> None:
    assert go_toolchain.read_version("go version go1.26.8 linux/amd64") == (1, 26)
    assert go_toolchain.read_version("") == (0, 0)


def test_the_go_module_of_kubernetes_has_the_version_that_is_built() -> None:
    module = (RECIPES / "kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{versions.KUBERNETES}" in module
    assert f"\ngo {versions.MIN_GO[0]}.{versions.MIN_GO[1]}" in module


def test_kubernetes_is_told_its_version_at_link_time() -> None:
    flags = programs.kubernetes_link_flags()
    assert f"-X k8s.io/component-base/version.gitVersion=v{versions.KUBERNETES}" in flags
    assert f"version.gitMinor={versions.KUBERNETES.split('.')[1]}" in flags


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_parts_are_different_recipes(one: list[str], other: list[str]) -> None:
    assert (recipe_of(*one) == recipe_of(*other)) == (one == other)


def test_one_control_plane_and_two_workers_are_asked_for() -> None:
    config = json.loads(kind_config(ABLE, MAIN, POLICY, made_node_image=False))
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert [json.loads(patch)["kind"] for patch in config["kubeadmConfigPatches"]] == ["ClusterConfiguration"]


def test_a_bounded_machine_gets_a_kubelet_that_does_not_ask_for_more() -> None:
    config = json.loads(kind_config(BOUNDED, MAIN, POLICY, made_node_image=True))
    patches = {patch["kind"]: patch for patch in map(json.loads, config["kubeadmConfigPatches"])}
    assert patches["KubeletConfiguration"]["failCgroupV1"] is False
    assert patches["KubeletConfiguration"]["featureGates"] == {"KubeletInUserNamespace": True}
    assert patches["KubeletConfiguration"]["resolvConf"] == "/kind/resolv.conf"
    assert patches["KubeProxyConfiguration"]["mode"] == "nftables"


@pytest.mark.parametrize(("machine", "runs"), [(ABLE, True), (BOUNDED, False)])
def test_kinds_own_node_image_is_taken_only_where_it_can_start(machine: Machine, runs: bool) -> None:
    assert runs_public_nodes(machine) is runs


def test_dockerd_gets_the_bounded_runtime_only_where_it_is_needed() -> None:
    wrapper = Path("/cache/runc-within-bounds")
    assert "--add-runtime" not in dockerd_command(ABLE, wrapper)
    assert dockerd_command(BOUNDED, wrapper)[-4:] == [
        "--add-runtime",
        "bounded=/cache/runc-within-bounds",
        "--default-runtime",
        "bounded",
    ]


def test_everything_is_kept_in_the_folder_that_the_user_names(tmp_path: Path) -> None:
    places = find_places({"RTPPOOL_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/elsewhere"})
    assert {places.programs.parent, places.kubeconfig.parent, places.logs.parent, places.record.parent} == {tmp_path}


def test_without_a_name_it_is_the_users_cache_folder(tmp_path: Path) -> None:
    assert find_places({"XDG_CACHE_HOME": str(tmp_path)}).root == tmp_path / "rtp-pool"
    assert find_places({}).root == Path.home().resolve() / ".cache/rtp-pool"


def test_each_path_that_the_images_copy_exists_and_is_sent_to_the_engine() -> None:
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    lines = [line.split() for line in (REPOSITORY / "Dockerfile").read_text().splitlines()]
    copied = [words[1] for words in lines if words[:1] == ["COPY"] and not words[1].startswith("--from")]
    assert copied
    for path in copied:
        assert (REPOSITORY / path).exists(), path
        assert any(f"{each}/".startswith(f"{path}/") or f"{path}/".startswith(f"{each}/") for each in sent), path
