"""docs/metrics.md lists every metric that the services export, with type, unit and labels, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.core import Metric

from rtppool_core.host.figures import HostFigures
from rtppool_core.host.metrics import host_metrics
from rtppool_echo.app import Echo
from rtppool_echo.metrics import EchoMetrics
from rtppool_echo.settings import Settings
from rtppool_operator.kube.lease import Leadership
from rtppool_operator.loop.metrics import OperatorMetrics
from rtppool_operator.loop.reconciler import Reconciler
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.relays.polling import Poller
from rtppool_relay.app import Relay
from rtppool_relay.http.metrics import RelayMetrics
from rtppool_relay.settings import read_settings

PAGE = Path(__file__).resolve().parents[2] / "docs/metrics.md"
ROW = re.compile(r"^\| `(?P<name>rtp_\w+)` \| (?P<kind>\w+) \| (?P<unit>[^|]+) \|(?P<labels>[^|]*)\|")
# Prometheus requires these units at the end of a name, before _total.
UNITS_IN_NAMES = ("seconds", "bytes", "packets", "ratio")


def rows() -> list[re.Match[str]]:
    return [match for line in PAGE.read_text().splitlines() if (match := ROW.match(line))]


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    return {
        row["name"]: (row["kind"], frozenset(label.strip("` ") for label in row["labels"].split(",") if label.strip()))
        for row in rows()
    }


def exported(families: Iterable[Metric]) -> dict[str, tuple[str, frozenset[str]]]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels if label != "le"),
        )
        for family in families
    }


@pytest.fixture
async def families() -> list[Metric]:
    relay = Relay(read_settings({"POOL_CONFIG": "/nowhere/pools.json"}))
    echo = Echo(Settings(echo_bind="127.0.0.1", echo_port=0))
    poller = Poller(None)
    reconciler = Reconciler(None, poller, Leadership(None, "ns/pod"), TrustPolicy("ns"))  # type: ignore[arg-type]
    found = [
        *RelayMetrics(relay._make_http().snapshot, relay._measurement, relay._jobs.failures).collect(),
        *EchoMetrics(echo._counters, echo._sockets, echo.supervisor, echo.watch).collect(),
        *OperatorMetrics(reconciler, poller).collect(),
    ]
    for held in echo._sockets:
        held.close()
    return found


async def test_the_page_has_every_metric_and_no_other(families: list[Metric]) -> None:
    assert set(documented()) == set(exported(families))


async def test_the_page_has_type_and_labels(families: list[Metric]) -> None:
    page = documented()
    for name, (kind, labels) in exported(families).items():
        assert page[name][0] == kind, name
        # A figure that was not measured has no sample, so no labels either.
        assert labels <= page[name][1], name


def test_units_on_the_page_match_the_names() -> None:
    for row in rows():
        ending = row["name"].removesuffix("_total").rsplit("_", 1)[-1]
        if ending in UNITS_IN_NAMES or row["unit"] in UNITS_IN_NAMES:
            assert row["unit"] == ending, row["name"]


async def test_help_and_samples_are_there_for_every_metric(families: list[Metric]) -> None:
    assert all(family.documentation.endswith(".") for family in families)
    # Without the echo's extension, before the first round of a job, and before a witness was read, nothing is counted.
    later = {"rtp_relay_directed_lost_packets", "rtp_relay_job_failures"}
    later |= {family.name for family in host_metrics(HostFigures(), "rtp_relay", "media")}
    later |= {family.name for family in host_metrics(HostFigures(), "rtp_echo", "worker")}
    always = {family.name for family in families if family.type == "counter"} - later
    assert {family.name for family in families if family.samples} >= always - {"rtp_echo_receive_overflows"}
