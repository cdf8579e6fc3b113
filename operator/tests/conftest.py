"""Objects of the operator's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from msgspec.structs import replace

from rtppool_core.contract.report import (
    AriReport,
    CallsReport,
    ClockReport,
    EchoReport,
    LateByCause,
    MediaReport,
    PoolReference,
    PortsReport,
    Report,
    SlaReport,
    WindowReport,
    Windows,
    export_histogram,
)
from rtppool_core.statistics.histogram import Histogram
from rtppool_operator.kube.crd import read_definition
from rtppool_operator.pools.desired import Claim
from rtppool_operator.pools.parsing import parse_pool, spec_schema
from rtppool_operator.pools.spec import Pool, RelayPod
from rtppool_operator.relays.observed import LastReport, PoolObservation, observe

NOW_SECONDS = 1000.0
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def definition() -> dict[str, Any]:
    return read_definition(ROOT / "charts/rtp-pool/files/rtppools.yaml")


@pytest.fixture(scope="session")
def schema(definition: dict[str, Any]) -> Draft4Validator:
    return spec_schema(definition)


@pytest.fixture(scope="session")
def make_pool(schema: Draft4Validator) -> Callable[..., Pool]:
    def make(
        name: str = "default", created: str = "2026-01-01T00:00:00Z", namespace: str = "voice", **spec: Any
    ) -> Pool:
        metadata = {
            "namespace": namespace,
            "name": name,
            "uid": f"uid-{name}" if namespace == "voice" else f"uid-{namespace}-{name}",
            "generation": 3,
            "creationTimestamp": created,
        }
        return parse_pool({"metadata": metadata, "spec": {"portRange": {"start": 10000, "end": 10100}, **spec}}, schema)

    return make


@pytest.fixture
def make_relay() -> Callable[..., RelayPod]:
    def make(node: str, revision: str | None = None) -> RelayPod:
        return RelayPod(f"relay-{node}", f"uid-relay-{node}", node, "192.0.2.1", 9090, revision)

    return make


@pytest.fixture
def make_report() -> Callable[..., Report]:
    def make(pool: Pool | None = None, generation: int | None = None, **changes: Any) -> Report:
        running = pool is not None
        report = Report(
            relay="relay",
            node="a",
            software_version="0.1.0",
            ready=True,
            not_ready=(),
            draining=False,
            ports=PortsReport("10000-10100", 101, 101, 0, 0, 0, 0, 0),
            calls=CallsReport(0, 0, 0, 0, 0, {}),
            ari=AriReport("Connected", 0),
            media=MediaReport(1, 1, 0, 0, {}),
            clock=ClockReport("kernel", 0, 0),
            echo=EchoReport("127.0.0.1", 4000, "127.0.0.1:4000", reachable=True),
            sla=SlaReport("Unknown", "NoCalls", 0),
            windows=Windows(),
            pool=PoolReference(pool.name, pool.namespace, pool.uid) if pool is not None else None,
            applied_generation=(pool.generation if generation is None and pool is not None else generation)
            if running
            else None,
        )
        return replace(report, **changes)

    return make


@pytest.fixture
def make_window() -> Callable[..., WindowReport]:
    def make(*round_trips_us: int, lost: int = 0, late: LateByCause | None = None) -> WindowReport:
        histogram = Histogram()
        for value in round_trips_us:
            histogram.record(value * 1000)
        packets = len(round_trips_us) + lost
        return WindowReport(
            start_unix_seconds=0,
            end_unix_seconds=60,
            packets=packets,
            answered=len(round_trips_us),
            lost=lost,
            late=late or LateByCause(),
            reordered=0,
            duplicates=0,
            too_late=0,
            round_trip=export_histogram(histogram),
            source_variation=export_histogram(histogram),
        )

    return make


@pytest.fixture
def pool(make_pool: Callable[..., Pool]) -> Pool:
    return make_pool()


@pytest.fixture
def seen(pool: Pool, make_relay: Callable[..., RelayPod]) -> Callable[..., PoolObservation]:
    """An observation of relays on nodes a, b, …; None is a relay without a report."""

    def make(*reports: Report | None, at: float = NOW_SECONDS, claim: Claim | None = None) -> PoolObservation:
        nodes = [chr(ord("a") + number) for number in range(len(reports))]
        relays = [make_relay(node) for node in nodes]
        last_reports = {
            relay.uid: LastReport.of(report, at, 1_700_000_000)
            for relay, report in zip(relays, reports, strict=True)
            if report
        }
        return observe(claim or Claim(pool, tuple(nodes)), relays, last_reports, {}, NOW_SECONDS)

    return make
