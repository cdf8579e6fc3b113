from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from snapshots import STOLEN, window

from rtppool_relay.http.sentences import describe_host

NOTHING_TAKEN = structs.replace(
    STOLEN, stolen_milliseconds=0, run_delay_milliseconds=0, heartbeat_late_milliseconds=0, late_in_host_seconds=0
)


def share(changes: dict[str, Any], **late: int) -> str | None:
    return describe_host(structs.replace(NOTHING_TAKEN, **changes), window(**late)[1])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"stolen_milliseconds": 3_020, "late_in_host_seconds": 332},
            "; the hypervisor took 3.0 s of this machine's 122 s of CPU; all late packets lie in those seconds.",
        ),
        (
            {"stolen_milliseconds": 30, "late_in_host_seconds": 12},
            "; the hypervisor took 30 ms of this machine's 122 s of CPU; 12 of 332 late packets lie in those seconds.",
        ),
        (
            {"throttled_milliseconds": 33_800},
            "; a CPU limit of this container held it back for 33.8 s; no late packet lies in those seconds.",
        ),
        (
            {"run_delay_milliseconds": 12_500, "late_in_host_seconds": 332},
            "; the media process waited 12.5 s for a processor; all late packets lie in those seconds.",
        ),
        (
            {"stolen_milliseconds": 1_000, "throttled_milliseconds": 2_000, "late_in_host_seconds": 332},
            (
                "; the hypervisor took 1.0 s of this machine's 122 s of CPU and a CPU limit of this container held it "
                "back for 2.0 s; all late packets lie in those seconds."
            ),
        ),
        (
            {"heartbeat_late_milliseconds": 400, "late_in_host_seconds": 332},
            "; processors stood still for 400 ms; all late packets lie in those seconds.",
        ),
        ({}, "; the machine took no processor time away."),
        ({"witnesses": ()}, "; no witness of host time can be read."),
    ],
)
def test_the_share_names_what_took_the_processors(changes: dict[str, Any], sentence: str) -> None:
    said = share(changes, source=3, relay=20, echo=12, host=300)
    assert said == f"0.67 % late{sentence} Causes: host 300, relay 20, echo 12; 32 judged."


def test_a_window_without_a_late_packet_of_ours_needs_no_share() -> None:
    assert share({"stolen_milliseconds": 3_020}, source=500, relay=0, echo=0, host=0) is None
    assert describe_host(STOLEN, None) is None


def test_stalls_of_an_echo_without_a_witness_count_as_echo_and_the_sentence_says_so() -> None:
    said = share({"echo": "NotReported"}, source=0, relay=0, echo=50, host=0)
    assert said is not None
    assert said.endswith("The echo reports no host time of its machine, so its stalls count as echo.")
    reported = share({"echo": "Reported"}, source=0, relay=0, echo=50, host=0)
    assert reported is not None
    assert "count as echo" not in reported


def test_a_share_above_a_limit_never_looks_equal_to_it() -> None:
    said = share({}, source=0, relay=51, echo=0, host=0)
    assert said is not None
    assert said.startswith("0.11 % late")


def test_judged_packets_of_the_source_are_explained() -> None:
    _, shown = window(source=500, relay=2, echo=8, host=0)
    late = structs.replace(shown.late, judged=62)
    said = describe_host(NOTHING_TAKEN, structs.replace(shown, late=late))
    assert said is not None
    assert said.endswith("62 judged. Some of these are late by the source, but arrived within the threshold.")
