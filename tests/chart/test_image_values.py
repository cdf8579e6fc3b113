"""Images that no node can pull are refused, instead of pods in ImagePullBackOff."""

from __future__ import annotations

from typing import Any

import pytest

DIGEST = "sha256:" + "0" * 64
ACCEPTED_REGISTRY = "accepted is HOST[:PORT][/PATH] without a scheme, for example registry.example.com/voice"
ACCEPTED_REPOSITORY = "accepted is [HOST/]PATH in lower case, without a tag, for example rtp-pool/echo"
ACCEPTED_TAG = "accepted are at most 128 letters, digits, dots, hyphens and underscores"


@pytest.mark.parametrize("policy", ["IfNotPresent", "Always"])
def test_images_without_a_registry_are_refused_unless_the_nodes_hold_them(try_to_render: Any, policy: str) -> None:
    done = try_to_render({"image.registry": "", "image.pullPolicy": policy})
    assert done.returncode != 0
    assert (
        "image.registry is empty and echo.image.repository is rtp-pool/echo, which names no registry; accepted is a "
        "registry in image.registry, in global.imageRegistry or in the repository, or image.pullPolicy Never for "
        "images that all nodes hold"
    ) in done.stderr


def test_one_repository_without_a_registry_is_enough_for_a_refusal(try_to_render: Any) -> None:
    own = {f"{of}.image.repository": f"ghcr.io/mine/{of}" for of in ("echo", "relay")}
    done = try_to_render({"image.registry": "", **own})
    assert "operator.image.repository is rtp-pool/operator, which names no registry" in done.stderr


@pytest.mark.parametrize(
    ("key", "value", "accepted"),
    [
        ("image.registry", "https://r.example.com", ACCEPTED_REGISTRY),
        ("image.registry", "R.example.com", ACCEPTED_REGISTRY),
        ("global.imageRegistry", "r.example.com/a b", ACCEPTED_REGISTRY),
        ("relay.image.repository", "rtp-pool/Relay", ACCEPTED_REPOSITORY),
        ("echo.image.repository", "rtp-pool/echo:1", ACCEPTED_REPOSITORY),
        ("image.tag", "a b", ACCEPTED_TAG),
        ("image.tag", DIGEST, ACCEPTED_TAG),
        ("operator.image.tag", f"0.1.0@{DIGEST}", ACCEPTED_TAG),
        ("image.tag", "-1", ACCEPTED_TAG),
        ("echo.image.digest", "sha256:abc", "accepted is sha256: and 64 hexadecimal digits"),
        ("echo.image.digest", "0" * 64, "accepted is sha256: and 64 hexadecimal digits"),
    ],
)
def test_a_name_that_no_runtime_reads_is_refused(try_to_render: Any, key: str, value: str, accepted: str) -> None:
    done = try_to_render({key: value})
    assert done.returncode != 0
    assert f"{key} is {value}; {accepted}" in done.stderr
