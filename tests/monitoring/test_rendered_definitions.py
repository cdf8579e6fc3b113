"""Rendered PodMonitors and rules fit the CRDs of Prometheus Operator, where an unknown field is an error."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest

KINDS = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
RELABELING = {"action": "drop", "sourceLabels": ["__name__"], "regex": "rtp_.*_bucket", "separator": ";"}
EVERYTHING = {
    "metrics.podMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "interval": "15s",
        "metricRelabelings": [RELABELING, {"action": "hashmod", "modulus": 2, "targetLabel": "x", "replacement": "y"}],
    },
    "metrics.rules": {"enabled": True, "labels": {"role": "alerts"}, "runbooks": "https://git.example.com/runbooks.md"},
    "http.tlsSecret": "rtp-tls",
}
PLAIN = {"metrics.podMonitor.enabled": True, "metrics.rules.enabled": True, "httpToken.enabled": False}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("values", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_rendered_objects_fit_their_definition(render: Any, definition: Any, kind: str, values: dict[str, Any]) -> None:
    schema = definition(KINDS[kind])
    objects = [each for each in render(values) if each["kind"] == kind]
    assert len(objects) == {"PodMonitor": 3, "PrometheusRule": 1}[kind]
    for each in objects:
        jsonschema.validate(each, schema)
        misspelt = copy.deepcopy(each)
        lists = {"PodMonitor": "podMetricsEndpoints", "PrometheusRule": "groups"}
        misspelt["spec"][lists[kind]][0]["intervall"] = "15s"
        with pytest.raises(jsonschema.ValidationError, match="intervall"):
            jsonschema.validate(misspelt, schema)
