"""Debian's Prometheus scrapes real programs through the rendered PodMonitors: token, port, labels and TLS count."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from lab.base.places import REPOSITORY, inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.monitoring.discovery import targets_of
from lab.monitoring.prometheus import Prometheus
from lab.monitoring.scrape_configs import UntranslatedFieldError, scrape_configs
from lab.monitoring.server import running_prometheus
from rtppool_testing.certificates import write_secret
from rtppool_testing.ports import LOOPBACK, free_port, free_range

NODE = "worker-1"
NAMESPACE = "voice"
TOKEN = "3f1c"
WAIT_SECONDS = 60.0
TLS_NAME = "rtp.voice.svc"
Rendered = list[dict[str, Any]]

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Installed:
    """Objects of a rendering, whose relay and echo run on loopback, and the files of its Secrets."""

    objects: Rendered
    secrets: Path
    prometheus: Path

    def monitor(self, component: str) -> dict[str, Any]:
        monitors = (each for each in self.objects if each["kind"] == "PodMonitor")
        return next(each for each in monitors if each["metadata"]["name"] == f"rtp-{component}")

    def pods(self) -> Rendered:
        """Return the pods that the DaemonSets would have on one node, at the address of the processes."""
        templates = [each["spec"]["template"] for each in self.objects if each["kind"] == "DaemonSet"]
        return [
            {
                "metadata": {**pod["metadata"], "name": f"rtp-{container['name']}-x7", "namespace": NAMESPACE},
                "spec": {**pod["spec"], "nodeName": NODE},
                "status": {"podIP": LOOPBACK, "phase": "Running"},
            }
            for pod in templates
            for container in pod["spec"]["containers"]
        ]

    def secret_file(self, namespace: str, name: str, key: str) -> str:
        assert namespace == NAMESPACE
        return str(self.secrets / name / key)

    def discovery(self, folder: Path) -> Callable[[list[str]], dict[str, Any]]:
        """Return the discovery of the pods, as a file that only has those of the namespaces."""

        def discover(namespaces: list[str]) -> dict[str, Any]:
            assert namespaces == [NAMESPACE]
            file = folder / "pods.json"
            file.write_text(json.dumps(targets_of(self.pods())))
            return {"file_sd_configs": [{"files": [str(file)]}]}

        return discover

    @asynccontextmanager
    async def scraped(self, monitors: Rendered, folder: Path) -> AsyncIterator[Prometheus]:
        configs = scrape_configs(monitors, self.secret_file, self.discovery(folder))
        async with self.scraped_by(configs, folder) as server:
            yield server

    @asynccontextmanager
    async def scraped_by(self, configs: Rendered, folder: Path) -> AsyncIterator[Prometheus]:
        config = {"global": {"scrape_interval": "3s", "scrape_timeout": "3s"}, "scrape_configs": configs}
        async with running_prometheus(self.prometheus, config, folder, free_port()) as server:
            yield server


@asynccontextmanager
async def installed(
    render: Callable[..., Rendered], program: Callable[[str], Path], folder: Path, values: dict[str, Any]
) -> AsyncIterator[Installed]:
    """Start relay and echo with the ports of a rendering."""
    ports, relay_http, echo_http = free_range(2), free_port(), free_port()
    objects = render(
        {
            "metrics.podMonitor.enabled": True,
            "portRange": {"start": ports.start, "end": ports.end},
            "relay.httpPort": relay_http,
            "echo.httpPort": echo_http,
            "echo.port": (echo_port := free_port()),
            "allowPorts": ["1024-65535"],
            **values,
        }
    )
    (folder / "http-token").mkdir()
    (folder / "http-token/token").write_text(TOKEN)
    # A copy of its own, because a relay follows a changed token.
    (folder / "token-of-the-relay").write_text(TOKEN)
    tls = {}
    if "http.tlsSecret" in values:
        (folder / "rtp-tls").mkdir()
        write_secret(trustme.CA(), TLS_NAME, folder / "rtp-tls")
        tls = {"HTTP_TLS_DIR": str(folder / "rtp-tls")}
    common = {**inherited_variables(), "HTTP_BIND": LOOPBACK, "HOST_WITNESSES": "off", **tls}
    relay = {
        "HTTP_PORT": str(relay_http),
        "HTTP_TOKEN_FILE": str(folder / "token-of-the-relay"),
        "BIND_IP": LOOPBACK,
        "PORT_RANGE": str(ports),
        "ECHO_PORT": str(echo_port),
        "NODE_NAME": NODE,
        "POOL_CONFIG": "/nowhere/pools.json",
    }
    echo = {"HTTP_PORT": str(echo_http), "ECHO_BIND": LOOPBACK, "ECHO_PORT": str(echo_port)}
    running = [
        Process(name, [sys.executable, "-m", f"rtppool_{name}"], {**common, **variables}, folder / f"{name}.log")
        for name, variables in (("relay", relay), ("echo", echo))
    ]
    try:
        yield Installed(objects, folder, program("prometheus"))
    finally:
        for process in running:
            await process.end()


def health(server: Prometheus) -> dict[str, str]:
    """Return `up` or `down` by job."""
    return {target["scrapePool"]: target["health"] for target in server.targets()}


async def until_health(server: Prometheus, wanted: dict[str, str]) -> None:
    await wait_until(f"jobs are {wanted}", lambda: health(server) == wanted, WAIT_SECONDS, failure=AssertionError)


async def until_error(server: Prometheus, job: str, words: str) -> None:
    """Wait for the error of a job's target. On a busy machine a scrape may also end by its time-out."""

    def is_shown() -> bool:
        (target,) = (each for each in server.targets() if each["scrapePool"] == job)
        return words in target["lastError"]

    await wait_until(f"the error of {job} has {words}", is_shown, WAIT_SECONDS, failure=AssertionError)


def named(monitor: dict[str, Any], suffix: str) -> dict[str, Any]:
    """Return a copy of a PodMonitor under another name."""
    copied = copy.deepcopy(monitor)
    copied["metadata"]["name"] += suffix
    return copied


def endpoint_of(monitor: dict[str, Any]) -> dict[str, Any]:
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    return endpoint  # type: ignore[no-any-return]


def job_of(component: str) -> str:
    return f"podMonitor/{NAMESPACE}/rtp-{component}/0"


async def test_prometheus_reads_relay_and_echo_through_the_rendered_pod_monitors(
    render: Any, program: Any, tmp_path: Path
) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong/token").write_text("another")
    async with installed(render, program, tmp_path, {}) as release:
        relay = release.monitor("relay")
        wrong_token, no_token = named(relay, "-wrong-token"), named(relay, "-no-token")
        wrong_port, wrong_label = named(relay, "-wrong-port"), named(relay, "-wrong-label")
        endpoint_of(wrong_token)["authorization"]["credentials"]["name"] = "wrong"
        del endpoint_of(no_token)["authorization"]
        endpoint_of(wrong_port)["port"] = "metrics"
        wrong_label["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] = "another"
        monitors = [relay, release.monitor("echo"), wrong_token, no_token, wrong_port, wrong_label]
        async with release.scraped(monitors, tmp_path) as server:
            # A relay declares its UDP ports as well, and none of them is a target.
            refused = {job_of("relay-wrong-token"): "down", job_of("relay-no-token"): "down"}
            await until_health(server, {job_of("relay"): "up", job_of("echo"): "up", **refused})
            for job in refused:
                await until_error(server, job, "401")
            (sample,) = server.query("rtp_relay_active_calls")
            labels = {key: sample["metric"][key] for key in ("namespace", "pod", "node", "job", "container")}
            assert labels == {
                "namespace": NAMESPACE,
                "pod": "rtp-relay-x7",
                "node": NODE,
                "job": "voice/rtp-relay",
                "container": "relay",
            }


async def test_prometheus_reads_a_relay_that_declares_no_port(render: Any, program: Any, tmp_path: Path) -> None:
    async with installed(render, program, tmp_path, {"relay.onStop": "HandOver"}) as release:
        assert all(
            "ports" not in pod["spec"]["containers"][0]
            for pod in release.pods()
            if "relay" in str(pod["metadata"]["name"])
        )
        async with release.scraped([release.monitor("relay")], tmp_path) as server:
            await until_health(server, {job_of("relay"): "up"})
            (sample,) = server.query("rtp_relay_active_calls")
            assert {key: sample["metric"][key] for key in ("node", "endpoint")} == {"node": NODE, "endpoint": "http"}


async def test_prometheus_checks_the_certificate_of_the_rendered_name(
    render: Any, program: Any, tmp_path: Path
) -> None:
    async with installed(render, program, tmp_path, {"http.tlsSecret": "rtp-tls"}) as release:
        relay, echo = release.monitor("relay"), release.monitor("echo")
        wrong_name, plain = named(relay, "-wrong-name"), named(echo, "-plain")
        endpoint_of(wrong_name)["tlsConfig"]["serverName"] = "another.voice.svc"
        del endpoint_of(plain)["scheme"]
        async with release.scraped([relay, echo, wrong_name, plain], tmp_path) as server:
            good = {job_of("relay"): "up", job_of("echo"): "up"}
            await until_health(server, {**good, job_of("relay-wrong-name"): "down", job_of("echo-plain"): "down"})
            await until_error(server, job_of("relay-wrong-name"), "another.voice.svc")


@pytest.mark.parametrize("on_stop", ["Drain", "HandOver"])
async def test_the_job_of_the_page_reads_annotated_pods_with_the_token(
    render: Any, program: Any, tmp_path: Path, on_stop: str
) -> None:
    page = (REPOSITORY / "docs/metrics.md").read_text()
    (job,) = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])["scrape_configs"]
    (discovered,) = job.pop("kubernetes_sd_configs")
    assert discovered == {"role": "pod", "namespaces": {"names": ["rtp-pool"]}}
    async with installed(render, program, tmp_path, {"relay.onStop": on_stop}) as release:
        job["authorization"]["credentials_file"] = str(tmp_path / "http-token/token")
        here = {**job, **release.discovery(tmp_path)([NAMESPACE])}
        without = {**here, "job_name": "without-token"}
        del without["authorization"]
        async with release.scraped_by([here, without], tmp_path) as server:

            def are_read() -> bool:
                up = server.query('up{job="rtp-pool"} == 1'), server.query('up{job="without-token"} == 1')
                return [len(found) for found in up] == [2, 1]

            await wait_until("relay and echo are read, the relay with the token alone", are_read, WAIT_SECONDS)
            (sample,) = server.query("rtp_relay_active_calls")
            assert {sample["metric"][key] for key in ("namespace", "pod", "node")} == {NAMESPACE, "rtp-relay-x7", NODE}


def test_a_field_that_is_not_translated_is_an_error(render: Any) -> None:
    monitors = [each for each in render({"metrics.podMonitor.enabled": True}) if each["kind"] == "PodMonitor"]
    monitors[0]["spec"]["podMetricsEndpoints"][0]["honorLabels"] = True
    with pytest.raises(UntranslatedFieldError, match="honorLabels"):
        scrape_configs(monitors, lambda *_: "", lambda _: {})
