"""The API server takes every object of the values that the chart accepts, as a strict server-side apply."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from chart_values import completed, set_values
from kube import CHART, Kube
from test_accepted_values import CASES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DRY_RUN = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-")
# The server takes a pod only if its account exists, and this one's is that of an object of the same rendering.
LEFT_OUT = ("Pod",)


@pytest.fixture(scope="module")
def namespace(kube: Kube) -> Iterator[str]:
    name = "renderings"
    kube.kubectl("create", "namespace", name)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")


def rendered(kube: Kube, namespace: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    printed = kube.helm("template", "rtp", str(CHART), "--namespace", namespace, *set_values(completed(values)))
    documents = yaml.load_all(printed, Loader=yaml.CSafeLoader)
    return [document for document in documents if document and document["kind"] not in LEFT_OUT]


def test_the_api_server_takes_every_object_of_the_accepted_values(kube: Kube, namespace: str) -> None:
    objects: dict[str, None] = {}
    for values in CASES.values():
        objects.update(dict.fromkeys(json.dumps(each) for each in rendered(kube, namespace, dict(values))))
    assert len(objects) > len(CASES)
    taken = kube.kubectl(*DRY_RUN, input_text="\n---\n".join(objects), seconds=300)
    assert len(taken.splitlines()) == len(objects)


def test_that_check_finds_a_field_that_the_server_does_not_know(kube: Kube, namespace: str) -> None:
    (relay,) = (
        each
        for each in rendered(kube, namespace, {})
        if each["kind"] == "DaemonSet" and each["metadata"]["name"].endswith("relay")
    )
    relay["spec"]["template"]["spec"]["tolerations"] = [{"oprator": "Exists"}]
    assert "oprator" in kube.refusal(*DRY_RUN, input_text=json.dumps(relay))
