from __future__ import annotations

from typing import Any

import pytest

from rtppool_relay.http.page.windows import format_figure, spell_out


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("p99Microseconds", 24_117, "24.117 ms"),
        ("p50Microseconds", 184, "184 µs"),
        ("bursts.burstNs", 40_000_000, "40 ms"),
        ("lossPpm", 1_500, "0.15 %"),
        ("lossPpm", 1, "0.0001 %"),
        ("lossPpm", 0, "0 %"),
        ("skewPpm", -37, "-37 ppm"),
        ("estimatedMos", 4.41, "4.41"),
        ("packets", 1_234_567, "1,234,567"),
        ("stamps", "kernel", "kernel"),
        ("skewClamped", True, "yes"),
        ("skewClamped", False, "no"),
    ],
)
def test_a_figure_has_the_unit_that_its_name_ends_with(name: str, value: Any, text: str) -> None:
    assert format_figure(name, value) == text


def test_a_figure_without_a_display_name_is_spelled_out() -> None:
    assert spell_out("burst.lossDensityPpm") == "Burst loss density"
    assert spell_out("echoResidenceP99Microseconds") == "Echo residence p99"
