import json
from pathlib import Path

import pytest

from lab.base.places import Places
from lab.cluster.cli import main
from lab.cluster.images.product_images import COMPONENTS
from lab.cluster.kind.guard import choose_target
from lab.cluster.product import repair_of, values_for
from lab.cluster.tooling import environment_lines, next_commands


@pytest.mark.parametrize("arguments", [[], ["fly"], ["program"], ["program", "no-such-program"], ["up", "more"]])
def test_what_is_no_verb_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m lab.cluster" in capsys.readouterr().err


def test_a_cluster_that_the_user_named_is_never_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RTPPOOL_CACHE", str(tmp_path))
    monkeypatch.setenv("KUBE_CONTEXT", "production")
    assert main(["down"]) == 1
    assert "KUBE_CONTEXT=production: only a cluster that was made here is deleted" in capsys.readouterr().err


def test_the_printed_environment_is_safe_to_evaluate() -> None:
    places = Places(Path("/a b/cache"))
    assert environment_lines(choose_target(None, places.kubeconfig), places) == [
        "export KUBECONFIG='/a b/cache/kubeconfig'",
        "export PATH='/a b/cache/bin':$PATH",
    ]


def test_the_users_own_configuration_is_left_in_place_for_a_named_cluster() -> None:
    places = Places(Path("/cache"))
    assert environment_lines(choose_target("production", places.kubeconfig), places) == ["export PATH=/cache/bin:$PATH"]


def test_the_next_commands_tell_how_to_set_the_kubeconfig() -> None:
    places = Places(Path("/cache"))
    shown = next_commands(choose_target(None, places.kubeconfig), places)
    assert "export KUBECONFIG=/cache/kubeconfig" in shown
    assert "kubectl get rtppools" in shown


@pytest.mark.parametrize(
    ("version", "state", "verb"),
    [
        (1, "deployed", None),
        (3, "failed", None),
        (1, "failed", "uninstall"),
        (1, "pending-install", "uninstall"),
        (2, "pending-upgrade", "rollback"),
    ],
)
def test_what_an_interrupted_helm_left_is_mended_before_the_next_upgrade(
    version: int, state: str, verb: str | None
) -> None:
    assert repair_of(json.dumps({"version": version, "info": {"status": state}})) == verb


def test_pods_are_rolled_out_when_an_image_of_the_same_name_is_another() -> None:
    before, after = (values_for(dict.fromkeys(COMPONENTS, image_id)) for image_id in ("sha256:1", "sha256:2"))
    assert before["image"] == after["image"]
    assert all(before[component]["podAnnotations"] != after[component]["podAnnotations"] for component in COMPONENTS)
