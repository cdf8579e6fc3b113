"""Values that the chart rejects, and its messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_values import BASE, set_values


def test_the_chart_passes_lint(helm: Callable[..., Any], chart: Path) -> None:
    done = helm("lint", "--strict", chart, *set_values(BASE))
    assert done.returncode == 0, done.stdout + done.stderr


def paths(value: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield place
    for name, held in value.items():
        if isinstance(held, dict):
            yield from paths(held, (*place, name))


FREE = {"resources.requests", "resources.limits", "nodeSelector", "affinity", "podAnnotations"}


def test_an_unknown_key_is_refused_by_name_wherever_it_stands(try_to_render: Any, chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for place in paths(values):
        path = ".".join([*place, "surprise"])
        if place == ("global",) or any(path.endswith(f"{free}.surprise") for free in FREE):
            continue
        done = try_to_render({path: 1})
        assert done.returncode != 0, path
        assert "additional properties 'surprise' not allowed" in done.stderr, path
        assert not place or "/" + "/".join(place) in done.stderr, path


def test_every_key_of_the_schema_has_a_default_and_the_other_way_round(chart: Path) -> None:
    def keys(schema: dict[str, Any], place: str = "") -> Iterator[str]:
        for name, below in schema.get("properties", {}).items():
            if place == "defaultPool.spec.":
                continue
            yield place + name
            yield from keys(below if isinstance(below, dict) else {}, f"{place}{name}.")

    def held(value: dict[str, Any], place: str = "") -> Iterator[str]:
        for name, below in value.items():
            yield place + name
            if isinstance(below, dict) and name != "resources":
                yield from held(below, f"{place}{name}.")

    schema = json.loads((chart / "values.schema.json").read_text())
    assert set(keys(schema)) == set(held(yaml.safe_load((chart / "values.yaml").read_text())))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"portRange": {"start": 10100, "end": 10000}},
            "portRange.start is 10100 and portRange.end is 10000; accepted is a start that is not above the end",
        ),
        (
            {"portRange": {"start": 10000, "end": 14096}},
            "portRange 10000-14096 has 4097 ports; accepted are at most 4096",
        ),
        ({"echo.port": 10050}, "echo.port is 10050, inside portRange 10000-10100; accepted is a port outside it"),
        ({"echo.port": 10000}, "echo.port is 10000, inside portRange 10000-10100; accepted is a port outside it"),
        (
            {"relay.echo.port": 10100},
            "relay.echo.port is 10100, inside portRange 10000-10100; accepted is a port outside it",
        ),
        (
            {"echo.httpPort": 9090},
            "echo.httpPort and relay.httpPort are both 9090, and both are on the node; accepted are two ports",
        ),
        (
            {"relay.terminationGracePeriodSeconds": 60, "defaultPool.spec": {"drain": {"timeoutSeconds": 60}}},
            (
                "relay.terminationGracePeriodSeconds is 60, but defaultPool.spec.drain.timeoutSeconds is 60 and "
                "hanging up takes 15 s more; accepted is 75 or above"
            ),
        ),
        ({"ari.user": "asterisk"}, "ari.user is asterisk, but ari.password is empty; accepted are both"),
        ({"ari.password": "s3cret"}, "ari.password is set, but ari.user is empty; accepted are both"),
        (
            {"ari.existingSecret": "pbx", "ari.user": "a", "ari.password": "b"},
            "ari.existingSecret is pbx, but ari.user or ari.password is set as well; accepted is one of both ways",
        ),
        (
            {"ari.url": "https://pbx:8089/ari", "ari.caSecret": "one", "ari.caConfigMap": "other"},
            "ari.caSecret is one and ari.caConfigMap is other; accepted is one of both",
        ),
        (
            {"ari.caSecret": "authority"},
            "ari.url is http://127.0.0.1:8088/ari, which does not use TLS; accepted is https://",
        ),
        (
            {"httpToken.enabled": False, "httpToken.existingSecret": "mine"},
            "httpToken.existingSecret is mine, but httpToken.enabled is false; accepted is true, or no Secret",
        ),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence(try_to_render: Any, values: dict[str, Any], sentence: str) -> None:
    done = try_to_render(values)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "s3cret" not in done.stderr


def test_a_token_that_each_rendering_would_generate_anew_is_refused_with_a_sentence(try_to_render: Any) -> None:
    done = try_to_render({"httpToken.existingSecret": ""})
    assert done.returncode != 0
    for words in ("httpToken.existingSecret is empty", "renders without a cluster", "httpToken.enabled false"):
        assert words in done.stderr
    assert try_to_render({"httpToken.enabled": False}).returncode == 0


def test_two_renderings_without_a_cluster_are_the_same(try_to_render: Any) -> None:
    values = {"ari.user": "asterisk", "ari.password": "s3cret", "ari.url": "http://127.0.0.1:8088/ari"}
    assert try_to_render(values).stdout == try_to_render(values).stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("portRange.start", 80),
        ("portRange.end", 70000),
        ("portRange.start", "10000"),
        ("echo.port", 0),
        ("echo.dscp", 64),
        ("echo.workers", 0),
        ("echo.allow", ["10.0.0.0/8,evil"]),
        ("echo.rate", -1),
        ("echo.ratePerAddress", 1000001),
        ("echo.rtpOnly", "perhaps"),
        ("relay.echo.host", "a b"),
        ("relay.echo.extension", "yes"),
        ("relay.dscp", -1),
        ("ari.url", "http://user:password@host:8088/ari"),
        ("ari.url", "ftp://host"),
        ("ari.url", "http://host:8088/ari?api_key=user:password"),
        ("ari.url", "http://host:8088/ari#user"),
        ("ari.application", "a,b"),
        ("ari.application", "a" * 74),
        ("ari.applicationPerNode", "yes"),
        ("ari.caSecret", "Upper"),
        ("ari.caKey", "../ca.crt"),
        ("relay.onStop", "Handover"),
        ("logs.level", "LOUD"),
        ("operator.poolNamespaces", ["*"]),
        ("operator.poolNamespaces", ["a,b"]),
        ("operator.foreignPoolsMayTakeNodes", "yes"),
        ("operator.allowedEchoHosts", ["10.0.0.0/8,evil"]),
        ("operator.allowedEchoHosts", ["*.example.com"]),
        ("operator.allowedAdvertiseAddresses", ["echo.example.com"]),
        ("operator.networkPolicy.from", "all"),
        ("image.pullPolicy", "Sometimes"),
        ("fullnameOverride", "Upper"),
        ("defaultPool.spec", {"portRange": {"start": 1, "end": 2}}),
    ],
)
def test_an_impossible_value_is_refused_by_its_place(try_to_render: Any, key: str, value: Any) -> None:
    done = try_to_render({key: value})
    assert done.returncode != 0
    assert f"at '/{key.replace('.', '/')}" in done.stderr
