"""examples/callgen/job.yaml: a valid Job, with the names that the chart gives and options that the program takes."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_objects import VERSIONS, errors

from rtppool_callgen.load.options import add_load_command, problems_of
from rtppool_callgen.plan.plan import LoadPlan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/load-test.md").read_text()


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "examples/callgen/job.yaml").read_text()))


@pytest.fixture(scope="module")
def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return dict(only)


def options_of(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_load_command(parser.add_subparsers())
    return parser.parse_args(arguments)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_supported_version_takes_it(version: str, job: dict[str, Any]) -> None:
    assert errors(version, job) == []


def test_its_arguments_are_a_load_on_the_running_relay(container: dict[str, Any], job: dict[str, Any]) -> None:
    options = options_of(container["args"])
    assert problems_of(options) == []
    assert options.callers == "stand-in"
    plan = LoadPlan(options.concurrent, options.per_second, options.duration, options.call_duration)
    assert f"Places {plan.calls} synthetic calls" in (ROOT / "examples/callgen/job.yaml").read_text()
    assert plan.total_seconds < job["spec"]["activeDeadlineSeconds"] / 2


def test_it_fits_a_release_named_rtp_with_the_page_s_secret(
    job: dict[str, Any], container: dict[str, Any], render: Any
) -> None:
    (secret,) = re.findall(r"--set ari\.existingSecret=(\S+)", PAGE)
    release = render({"ari.existingSecret": secret}, "--namespace", "rtp-pool")
    relay = release.pod("DaemonSet", "rtp-relay")
    environment = {entry["name"]: entry.get("value") for entry in relay["spec"]["containers"][0]["env"]}
    options = options_of(container["args"])
    assert options.ari_url == environment["ARI_URL"]
    assert options.application == environment["APP_NAME"]
    assert options.relay_url.endswith(f":{environment['HTTP_PORT']}")
    assert job["metadata"]["namespace"] == "rtp-pool"
    assert container["image"] == f"registry.example.com/voice/rtp-pool/callgen:{relay_tag(relay)}"
    volumes = {volume["name"]: volume["secret"] for volume in relay["spec"]["volumes"] if "secret" in volume}
    mounted = job["spec"]["template"]["spec"]["volumes"]
    assert [volume["secret"]["secretName"] for volume in mounted if "secret" in volume] == [secret, "rtp-http-token"]
    assert secret in {each["secretName"] for each in volumes.values()}
    selector = job["spec"]["template"]["spec"]["affinity"]["podAffinity"]
    (term,) = selector["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"].items() <= relay["metadata"]["labels"].items()


def relay_tag(relay: dict[str, Any]) -> str:
    return str(relay["spec"]["containers"][0]["image"].rpartition(":")[2])


def test_it_has_the_rights_of_the_relay_and_no_others(
    job: dict[str, Any], container: dict[str, Any], render: Any
) -> None:
    relay = render(None, "--namespace", "rtp-pool").pod("DaemonSet", "rtp-relay")["spec"]
    pod = job["spec"]["template"]["spec"]
    for field in ("hostNetwork", "dnsPolicy", "automountServiceAccountToken", "securityContext"):
        assert pod[field] == relay[field], field
    assert container["securityContext"] == relay["containers"][0]["securityContext"]


def test_the_page_s_arguments_for_a_real_asterisk_are_accepted() -> None:
    (line,) = re.findall(r"^args: \[(load, .*)\]$", PAGE, re.MULTILINE)
    options = options_of(shlex.split(line.replace(",", " ")))
    assert problems_of(options) == []
    assert options.callers == "ari"
