"""Values that the chart rejects, and its messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_values import BASE, set_values
from values_schema import is_generated, shown, with_generated


def test_the_chart_passes_lint(each_helm: Callable[..., Any], chart: Path) -> None:
    done = each_helm("lint", "--strict", chart, *set_values(BASE))
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_3_and_4_render_the_defaults_and_refuse_the_same_values(
    each_helm: Callable[..., Any], chart: Path
) -> None:
    words = ("template", "rtp", chart, *set_values(BASE))
    done = each_helm(*words)
    assert done.returncode == 0, done.stderr
    for values, sentence in (
        ({"echo.allow": ["10.0.0.5/8"]}, "echo.allow[0] is 10.0.0.5/8; accepted is an address"),
        ({"relay.resources.limits.memory": "64Mi"}, "above the limit 64Mi"),
        ({"defaultPool.spec.excludedPorts": [5]}, "1024"),
        ({"portRange": None}, "portRange"),
        ({"echo.port": None}, "port"),
    ):
        refused = each_helm(*words, *set_values(values))
        assert refused.returncode != 0, values
        assert sentence in refused.stderr.replace(",", "")


def paths(value: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield place
    for name, held in value.items():
        if isinstance(held, dict):
            yield from paths(held, (*place, name))


FREE = (
    *("commonLabels", "podLabels", "podAnnotations", "annotations", "nodeSelector"),
    *("resources.requests", "resources.limits", "global", "podMonitor.labels", "rules.labels"),
)


def test_an_unknown_key_is_refused_by_name_wherever_it_stands(try_to_render: Any, chart: Path) -> None:
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for place in paths(values):
        path = ".".join([*place, "surprise"])
        if path.endswith(tuple(f"{free}.surprise" for free in FREE)):
            continue
        done = try_to_render({path: 1})
        assert done.returncode != 0, path
        assert "additional properties 'surprise' not allowed" in done.stderr, path
        assert not place or "/" + "/".join(place) in done.stderr, path


def test_every_key_of_the_schema_has_a_default_and_the_other_way_round(chart: Path) -> None:
    schema = json.loads((chart / "values.schema.json").read_text())

    def keys(below: dict[str, Any], place: str = "") -> Iterator[str]:
        name = below.get("$ref", "").rpartition("/")[2]
        if is_generated(name):
            return
        held = schema["$defs"][name] if name else below
        for key, deeper in held.get("properties", {}).items():
            yield place + key
            yield from keys(deeper, f"{place}{key}.")

    def defaults(value: dict[str, Any], place: str = "") -> Iterator[str]:
        for name, below in value.items():
            yield place + name
            if isinstance(below, dict) and name not in {"requests", "limits", "podSecurityContext", "securityContext"}:
                yield from defaults(below, f"{place}{name}.")

    assert set(keys(schema)) == set(defaults(yaml.safe_load((chart / "values.yaml").read_text())))


def test_the_generated_parts_of_the_schema_are_those_of_the_crd_and_of_kubernetes(chart: Path) -> None:
    text = (chart / "values.schema.json").read_text()
    assert text == shown(with_generated(json.loads(text))), "run .venv/bin/python tools/values_schema.py"


def test_a_null_is_refused_by_the_name_of_its_key(try_to_render: Any, chart: Path) -> None:
    """A null takes the default away. All keys of one object are tried at once, because the schema names each."""
    values = yaml.safe_load((chart / "values.yaml").read_text())
    free = (
        "global",
        "resources",
        "requests",
        "limits",
        "podSecurityContext",
        "securityContext",
        "seccompProfile",
        "capabilities",
    )
    for place in paths(values):
        if place and place[-1] in free:
            continue
        held = values
        for name in place:
            held = held[name]
        nulls = [name for name, default in held.items() if default is not None]
        if not nulls:
            continue
        done = try_to_render({".".join([*place, name]): None for name in nulls})
        assert done.returncode != 0, place
        assert "missing propert" in done.stderr, done.stderr
        for name in nulls:
            assert f"'{name}'" in done.stderr, (place, done.stderr)


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
        (
            {"echo.httpPort": 9095, "operator.networkPolicy.apiServerPorts": []},
            "at '/operator/networkPolicy/apiServerPorts': minItems: got 0, want 1",
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
            {"ari.caSecret": "authority", "ari.existingSecret": "pbx"},
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
