"""A figure has one line in the table of figures. Relay, operator, CRD and documentation follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from row_slot import MS, Slot, after, collect

from rtppool_core.contract.figures import COUNTS, TIMES
from rtppool_core.contract.report import SlaReport, WindowReport
from rtppool_operator.status.merged_window import merge_windows
from rtppool_relay.figures.call_figures import CallFigures, call_figures
from rtppool_relay.figures.measurement import Measurement
from rtppool_relay.http.page.windows import FIGURE_NAMES
from rtppool_relay.http.stream_metrics import stream_metrics
from rtppool_relay.media.rows import Word
from rtppool_relay.streams.slices import window_report
from rtppool_relay.streams.steady_clock import SteadyClock

ROOT = Path(__file__).resolve().parents[2]
PACKETS = 50
COUNTED = [name for name, count in COUNTS.items() if count.word]


def latency_fields() -> dict[str, Any]:
    definition = yaml.safe_load((ROOT / "charts/rtp-pool/files/rtppools.yaml").read_text())
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return dict(status["properties"]["latency"]["properties"]["calls"]["properties"])


class Relay:
    """A relay with one call whose packet path has counted seven of a kind."""

    def __init__(self, name: str) -> None:
        slot, self.measurement = Slot(), Measurement(SteadyClock())
        for number in range(PACKETS):
            slot.row(number, 5 * MS)
        self.stream = slot.statistics()
        slot.words[Word[COUNTS[name].word or ""]] += 7
        self.measurement.add_stream(0, "calls", self.stream)
        collect(self.measurement, after(PACKETS), 0)

    def window(self) -> WindowReport:
        report = window_report(self.measurement.kinds["calls"].store, after(PACKETS, 20), 60)
        assert report is not None
        return report

    def call(self) -> CallFigures:
        return call_figures(self.stream.total, SlaReport("Unknown", "NoCalls", 0))

    def metric(self, name: str) -> float:
        count = COUNTS[name]
        wanted = {"stream": "calls"} | ({"leg": count.leg} if count.leg else {})
        return next(
            sample.value
            for family in stream_metrics(self.measurement)
            for sample in family.samples
            if sample.name == f"rtp_relay_{count.metric}_total" and sample.labels == wanted
        )


# Derived from rows, which show the relay's own DSCP here.
@pytest.mark.parametrize("name", [name for name in COUNTED if name != "source_dscp_mismatches"])
def test_what_the_packet_path_counts_is_in_report_call_metric_and_status(name: str) -> None:
    relay = Relay(name)
    assert getattr(relay.window(), name) == getattr(relay.call(), name) == relay.metric(name) == 7
    assert merge_windows([relay.window(), relay.window()])[COUNTS[name].share] == 14 * 1_000_000 // (2 * PACKETS)


@pytest.mark.parametrize("name", COUNTS)
def test_a_share_is_of_counts_that_a_window_has(name: str) -> None:
    assert set(COUNTS[name].of) <= set(WindowReport.__struct_fields__)
    assert COUNTS[name].share in latency_fields()


@pytest.mark.parametrize("name", TIMES)
def test_quantiles_of_times_are_fields_of_the_status(name: str) -> None:
    assert name in WindowReport.__struct_fields__
    assert set(TIMES[name].quantiles) <= set(latency_fields())


def test_every_figure_of_the_table_has_a_label_on_the_page() -> None:
    labels = set(FIGURE_NAMES.values())
    assert {count.label for count in COUNTS.values()} <= labels
    assert {f"{times.label}, median" for times in TIMES.values()} <= labels


def test_the_documentation_names_every_metric_of_the_table() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    metrics = [f"`rtp_relay_{count.metric}_total`" for count in COUNTS.values()]
    metrics += [f"`rtp_relay_{times.metric}_seconds`" for times in TIMES.values() if times.metric]
    assert [metric for metric in metrics if metric not in page] == []
