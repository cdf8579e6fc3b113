from __future__ import annotations

from snapshots import LIMITS, PROBE_ALONE, START, VIOLATED

from rtppool_core.contract.codec import to_json
from rtppool_relay.http.sla_document import sla_document


def test_the_document_has_exactly_these_fields() -> None:
    violations = [
        {"limit": "maxRttMicroseconds", "accepted": 22_000, "measured": 23_001},
        {"limit": "maxLatePpm", "accepted": 1_000, "measured": 1_800},
        {"limit": "maxLossPpm", "accepted": 2_000, "measured": 3_000},
    ]
    both_windows = {
        "startUnixSeconds": START,
        "endUnixSeconds": START + 60,
        "reordered": 3,
        "duplicates": 2,
        "tooLate": 1,
        "sourceLost": 4,
        "dscpChanged": 0,
        "sourceDscpMismatches": 0,
        "jitterMicroseconds": 413,
        "p50Microseconds": 429,
        "p95Microseconds": 742,
        "p99Microseconds": 775,
        "residenceP50Microseconds": 76,
        "residenceP95Microseconds": 116,
        "residenceP99Microseconds": 120,
        "residenceMaxMicroseconds": 120,
        "sourceVariationP50Microseconds": 1_000,
        "sourceVariationP95Microseconds": 1_000,
        "sourceVariationP99Microseconds": 1_000,
        "sourceVariationMaxMicroseconds": 1_000,
    }
    assert sla_document(VIOLATED) == {
        "result": "Violated",
        "reason": "LimitExceeded",
        "activeCalls": 20,
        "tierUpToCalls": 30,
        "aboveTiers": False,
        "violations": violations,
        "missing": [],
        "capacityCalls": 101,
        "unreachableTiers": [
            {
                "upToCalls": 150,
                "reason": "150 calls can't be reached, because the range 10000-10100 has 101 ports. "
                "This tier holds at 101 calls only.",
            }
        ],
        "message": "Longest round trip: 23.001 ms, accepted is 22 ms. Late by relay or echo: 0.18 %, accepted is "
        "0.1 %. Lost between relay and echo: 0.3 %, accepted is 0.2 %.",
        "remarks": [],
        "checks": [
            {"limit": "p50Microseconds", "accepted": 8_000, "measured": 429},
            {"limit": "p95Microseconds", "accepted": 12_000, "measured": 742},
            {"limit": "p99Microseconds", "accepted": 18_000, "measured": 775},
            *violations,
        ],
        "limits": to_json(LIMITS),
        "calls": both_windows
        | {
            "packets": 50_000,
            "answered": 49_850,
            "lost": 150,
            "late": {"source": 5_000, "relay": 30, "echo": 60},
            "maxMicroseconds": 23_001,
            "latePpm": 1_800,
            "lossPpm": 3_000,
        },
        "probe": both_windows
        | {
            "packets": 600,
            "answered": 600,
            "lost": 0,
            "late": {"source": 1, "relay": 0, "echo": 0},
            "maxMicroseconds": 9_000,
            "latePpm": 0,
            "lossPpm": 0,
        },
    }


def test_the_document_has_the_figures_in_the_units_of_the_limits() -> None:
    document = sla_document(VIOLATED)
    assert document["message"].startswith("Longest round trip: 23.001 ms, accepted is 22 ms. Late by")
    assert document["checks"][3] == {"limit": "maxRttMicroseconds", "accepted": 22_000, "measured": 23_001}
    assert document["violations"] == [check for check in document["checks"] if check["measured"] > check["accepted"]]
    assert (document["capacityCalls"], document["unreachableTiers"][0]["upToCalls"]) == (101, 150)
    assert (document["calls"]["maxMicroseconds"], document["calls"]["lossPpm"], document["calls"]["latePpm"]) == (
        23_001,
        3_000,
        1_800,
    )
    assert document["calls"]["residenceMaxMicroseconds"] == 120
    assert not {"roundTrip", "residence"} & set(document["calls"])


def test_without_calls_the_checks_have_no_figures_and_the_window_is_absent() -> None:
    document = sla_document(PROBE_ALONE)
    assert "calls" not in document
    assert [sorted(check) for check in document["checks"]] == [["accepted", "limit"]] * 6
    assert document["probe"]["packets"] == 600
