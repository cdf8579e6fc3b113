from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_cases import LIMITS, violated, window
from matplotlib.axes import Axes

from rtppool_callgen.load.chart import VIOLATED_COLOUR, ChartFacts, load_chart, load_figure
from rtppool_callgen.load.windows import LoadWindow

SVG = "{http://www.w3.org/2000/svg}"
FACTS = ChartFacts("Met", "All <is> well & fine.", "A machine", 30, 63.0, LIMITS)


def chart(windows: list[LoadWindow], **changes: Any) -> ET.Element:
    return ET.fromstring(load_chart(windows, replace(FACTS, **changes)))  # noqa: S314 our own document


def words(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter(f"{SVG}text")]


def panels(windows: list[LoadWindow]) -> list[Axes]:
    return load_figure(windows, FACTS).axes


def curve(axes: Axes, name: str) -> list[float]:
    (line,) = [line for line in axes.lines if line.get_label() == name]
    return [float(value) for value in line.get_ydata()]


def test_the_chart_names_every_line_with_its_unit() -> None:
    found = words(chart([window(at) for at in range(1, 60)]))
    for name in ("p50", "p95", "p99", "max", "p50 limit", "p95 limit", "p99 limit", "max limit", "active", "asked for"):
        assert name in found, name
    for cause in ("source", "relay", "echo", "limit judged"):
        assert cause in found, cause
    assert {"ms, logarithmic", "calls", "ppm, logarithmic", "seconds since the load began"} <= set(found)


def test_the_head_has_verdict_sentence_and_machine() -> None:
    assert {"Met", "All <is> well & fine.", "A machine"} <= set(words(chart([window(1)])))


def test_the_chart_draws_the_limits_of_each_windows_tier() -> None:
    round_trips, *_ = panels([window(1), window(2, tier=100), window(3, tier=100)])
    assert curve(round_trips, "p50 limit") == [8_000, 10_000, 10_000]


def test_what_was_not_measured_is_a_gap_in_the_line() -> None:
    round_trips, *_ = panels([window(1), window(2), window(3, p99_microseconds=None), window(4), window(5)])
    assert [math.isnan(value) for value in curve(round_trips, "p99")] == [False, False, True, False, False]


def test_a_point_between_two_gaps_is_a_dot() -> None:
    round_trips, *_ = panels([window(at, p99_microseconds=None if at % 2 else 450) for at in range(5)])
    (line,) = [line for line in round_trips.lines if line.get_label() == "p99"]
    assert line.get_markevery() == [0, 2, 4]


def test_windows_that_violated_the_sla_are_shaded_in_every_panel() -> None:
    svg = chart([window(1), violated(2), violated(3), window(4)])
    assert words(svg).count("SLA violated") == 3
    shaded = [part for part in svg.iter(f"{SVG}path") if VIOLATED_COLOUR in str(part.get("style"))]
    # In each panel one for each window, and one in its legend.
    assert len(shaded) == 3 * 3
    assert "SLA violated" not in words(chart([window(1)]))


def test_a_chart_of_nothing_is_a_picture_that_says_so() -> None:
    svg = chart([], sentence="Nothing was measured: no call was placed. This is no result.", limits=None)
    assert "Nothing was measured: no call was placed. This is no result." in words(svg)


@settings(max_examples=5, deadline=None)
@given(st.text(max_size=60))
def test_whatever_words_stand_in_it_the_chart_is_xml(words_of_another: str) -> None:
    chart([], sentence=words_of_another, subtitle=words_of_another, result="NothingMeasured")


@pytest.mark.parametrize(
    "sentence", ["costs $5 and $6", "a\x00b\x1b[31m\x07", "\ufffe\ud7ff \U0001f4a5", "]]> <svg>", r"\frac"]
)
def test_signs_with_a_meaning_of_their_own_are_plain_text(sentence: str) -> None:
    shown = "".join(character if character.isprintable() else " " for character in sentence)
    assert shown.split() in [text.split() for text in words(chart([], sentence=sentence))]


def test_the_same_figures_give_the_same_file() -> None:
    assert load_chart([window(1), violated(2)], FACTS) == load_chart([window(1), violated(2)], FACTS)


def test_the_ground_is_white() -> None:
    assert load_figure([], FACTS).get_facecolor() == (1.0, 1.0, 1.0, 1.0)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.builds(
            window,
            st.floats(0, 400),
            st.sampled_from(["Met", "Violated", "Unknown"]),
            st.sampled_from([30, 100, None]),
            packets=st.integers(0, 10**7),
            late_source=st.integers(0, 10**7),
            p50_microseconds=st.none() | st.integers(0, 10**8),
            p99_microseconds=st.none() | st.integers(0, 10**8),
            max_microseconds=st.none() | st.integers(0, 10**8),
            active_calls=st.integers(0, 5000),
        ),
        max_size=8,
    )
)
def test_whatever_was_measured_every_point_lies_on_the_picture(windows: list[LoadWindow]) -> None:
    for axes in panels(windows):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            if line.get_label() in {"limit judged", "asked for"}:
                continue  # spans the whole picture, in coordinates of its own
            for x, y in zip(line.get_xdata(orig=False), line.get_ydata(orig=False), strict=True):
                # On a logarithmic axis 0 is clipped to the bottom.
                assert left <= x <= right
                assert math.isnan(y) or y == 0 or bottom <= y <= top
