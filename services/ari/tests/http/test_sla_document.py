from __future__ import annotations

from snapshots import BY_HOST, HOST_JUDGED, LIMITS, PROBE_ALONE, START, VIOLATED

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
        "message": "Longest round trip: 23.001 ms, accepted is 22 ms. Late and judged: 0.18 %, accepted is "
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
            "late": {"source": 5_000, "relay": 30, "echo": 60, "judged": 90},
            "maxMicroseconds": 23_001,
            "latePpm": 1_800,
            "lossPpm": 3_000,
        },
        "probe": both_windows
        | {
            "packets": 600,
            "answered": 600,
            "lost": 0,
            "late": {"source": 1, "relay": 0, "echo": 0, "judged": 0},
            "maxMicroseconds": 9_000,
            "latePpm": 0,
            "lossPpm": 0,
        },
    }


def test_the_document_has_the_figures_in_the_units_of_the_limits() -> None:
    document = sla_document(VIOLATED)
    assert document["message"].startswith("Longest round trip: 23.001 ms, accepted is 22 ms. Late and")
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


def test_the_host_s_share_is_in_the_message_and_its_time_beside_it() -> None:
    document = sla_document(BY_HOST)
    share = (
        "0.67 % late; the hypervisor took 3.0 s of this machine's 122 s of CPU; all late packets lie in those seconds. "
        "Causes: host 300, relay 20, echo 12; 32 judged."
    )
    assert document["message"] == f"Every limit is met. {share}"
    assert document["host"]["sentence"] == share
    assert (document["host"]["stolenMilliseconds"], document["host"]["cpuSeconds"]) == (3_020, 122.0)
    assert (document["calls"]["late"]["host"], document["calls"]["hostLatePpm"]) == (300, 6_000)
    assert document["calls"]["latePpm"] == 640


def test_a_pool_may_judge_the_host_as_well() -> None:
    document = sla_document(HOST_JUDGED)
    assert (document["result"], document["limits"]["judgeHost"]) == ("Violated", True)
    assert document["calls"]["latePpm"] == 6_640
    assert document["calls"]["late"]["judged"] == 332
    assert document["message"].startswith(
        "Late and judged, with the host's time: 0.664 %, accepted is 0.1 %. 0.67 % late; "
    )


def test_a_relay_without_a_witness_shows_no_share_of_the_host() -> None:
    document = sla_document(VIOLATED)
    assert "host" not in document
    assert "host" not in document["calls"]["late"]
    assert "hostLatePpm" not in document["calls"]
