from collections.abc import Mapping

import pytest

from lab.faults.calls.rig.callers import Outcome, outcome_of
from lab.faults.calls.rig.relay import Record, records_of, udp_ports_bound
from lab.faults.calls.rounds.accounts import (
    Dialplan,
    Evidence,
    Rest,
    Returned,
    dialplan_of,
    leaked,
    orphans,
    unaccounted,
    uncounted,
)

PORTS = {"total": 150, "free": 149, "leased": 0, "resting": 1, "quarantined": 0}


def record(call: str | None, ended_by: str = "callerGone", refused: str | None = None) -> Record:
    return Record(call, ended_by, refused, adopted=False, packets=10, answered=10)


def outcome(placed: str = "", answered: str = "", talked: str = "") -> Outcome:
    return Outcome(frozenset(placed), frozenset(answered), frozenset(talked))


def evidence(
    callers: Outcome,
    records: list[Record],
    returned: Mapping[str, Returned] | None = None,
    *,
    asterisk_died: bool = False,
) -> Evidence:
    return Evidence(callers, Dialplan(callers.placed, returned or {}), records, asterisk_died)


def test_calls_that_talked_to_their_end_and_have_a_record_each_are_accounted_for() -> None:
    assert unaccounted(evidence(outcome("ab", "ab", "ab"), [record("a"), record("b")])) == []


def test_an_answered_call_without_a_record_is_told_by_name() -> None:
    found = unaccounted(evidence(outcome("ab", "ab", "ab"), [record("a")]))
    assert found == ["1 calls answered, but the relay has no record: b"]


def test_a_call_recorded_twice_is_told() -> None:
    assert unaccounted(evidence(outcome("a", "a", "a"), [record("a"), record("a")])) == [
        "1 calls recorded more than once: a"
    ]


def test_a_call_that_talked_to_its_end_is_not_recorded_as_cut() -> None:
    assert "recorded as cut" in unaccounted(evidence(outcome("a", "a", "a"), [record("a", "bridgeGone")]))[0]


def test_a_cut_call_needs_a_reason_in_the_dialplan() -> None:
    cut = outcome("a", "a")
    without = Returned("SUCCESS", "", "", "Up")
    assert "without a reason" in unaccounted(evidence(cut, [record("a", "mediaGone")], {"a": without}))[0]
    returned = Returned("SUCCESS", "", "mediaGone", "Up")
    assert unaccounted(evidence(cut, [record("a", "mediaGone")], {"a": returned})) == []


def test_calls_that_died_with_asterisk_need_a_record_and_no_dialplan() -> None:
    assert unaccounted(evidence(outcome("a", "a"), [record("a")], asterisk_died=True)) == []
    assert unaccounted(evidence(outcome("a", "a"), [], asterisk_died=True)) != []


@pytest.mark.parametrize(
    "returned",
    [Returned("SUCCESS", "NoFreePort", "", "Ring"), Returned("FAILED", "", "", "Ring")],
    ids=["refused", "away"],
)
def test_a_call_that_was_never_answered_is_explained_by_the_dialplan(returned: Returned) -> None:
    assert unaccounted(evidence(outcome("a"), [], {"a": returned})) == []
    assert "neither answered nor returned" in unaccounted(evidence(outcome("a"), []))[0]


def test_a_caller_who_left_during_set_up_is_accounted_for_by_a_record_without_a_call_id() -> None:
    callers = outcome("ab", "ab", "ab")
    assert unaccounted(evidence(callers, [record("a"), record(None)])) == []
    assert unaccounted(evidence(outcome("abc", "abc", "abc"), [record("a"), record(None)])) != []


def test_nothing_left_is_no_leak() -> None:
    assert leaked(Rest(PORTS, 0, [], [], []), 150) == []


@pytest.mark.parametrize(
    ("rest", "word"),
    [
        (Rest({**PORTS, "leased": 1, "free": 148}, 0, [], [], []), "leased"),
        (Rest({**PORTS, "quarantined": 1, "free": 148}, 0, [], [], []), "quarantined"),
        (Rest({**PORTS, "free": 148}, 0, [], [], []), "do not add up"),
        (Rest(PORTS, 1, [], [], []), "still counts 1 calls"),
        (Rest(PORTS, 0, [10000, 10001], [], []), "10000, 10001"),
        (Rest(PORTS, 0, [], ["1.1"], []), "channels 1.1"),
        (Rest(PORTS, 0, [], [], ["rtp_1_bridge"]), "bridges rtp_1_bridge"),
    ],
)
def test_whatever_is_left_is_told(rest: Rest, word: str) -> None:
    assert word in " ".join(leaked(rest, 150))


def test_parts_of_no_live_call_are_orphans_and_strangers_are_told() -> None:
    channels = {"1.1": "PJSIP/anonymous-1", "rtp_aa_1.1_media": "UnicastRTP/1", "rtp_aa_2.2_media": "UnicastRTP/2"}
    bridges = ["rtp_aa_1.1_bridge"]
    assert orphans(channels, bridges, ["1.1"]) == ["1 channels and bridges belong to no call: rtp_aa_2.2_media"]
    assert "callers are unknown to the relay: 1.1" in orphans(channels, bridges, [])[1]


def test_the_dialplan_s_log_is_read_by_call_id() -> None:
    log = (
        "[2026-11-25 03:00:00.123] NOTICE[7][C-1]: Ext. 1000:1 in @ callers: asks call-id=1-x\n"
        "[2026-11-25 03:00:00.140] NOTICE[7][C-1]: Ext. 1000:3 in @ callers: "
        "back call-id=1-x stasis=SUCCESS refused=NoFreePort ended= channel=Ring\n"
        "[2026-11-25 03:00:00.141] WARNING[7]: something else\n"
    )
    returned = dialplan_of(log)
    assert returned.asked == {"1-x"}
    assert returned.returned == {"1-x": Returned("SUCCESS", "NoFreePort", "", "Ring", 17)}


def test_what_callers_logged_is_read_by_call_id() -> None:
    log = "2026-11-25\t03:00:00.1\tplaced 1-x\nplaced 2-x\nanswered 1-x\ntalked 1-x\nrefused 2-x\nnoise\n"
    assert outcome_of(log) == Outcome(frozenset({"1-x", "2-x"}), *map(frozenset, ({"1-x"}, {"1-x"}, {"2-x"})))


def test_records_are_read_from_a_log_whose_last_line_is_broken() -> None:
    line = '{"message": "call ended", "sipCallId": "1-x", "endedBy": "callerGone", "packets": 9, "answered": 8}'
    found = records_of(f'{line}\n{{"message": "call connected"}}\nTraceback\n{line[:30]}')
    assert found == (Record("1-x", "callerGone", None, adopted=False, packets=9, answered=8),)


def test_bound_ports_are_read_from_the_kernel_s_table() -> None:
    table = (
        "   sl  local_address rem_address   st tx_queue rx_queue\n"
        "  12: 0100007F:2710 0100007F:51B2 01 00000000:00000000\n"
        "  13: 0100007F:2710 0100007F:3000 01 00000000:00000000\n"
        "  14: 00000000:0044 00000000:0000 07 00000000:00000000\n"
    )
    assert udp_ports_bound(10000, 10149, table) == [10000, 10000]


def test_counts_of_calls_that_do_not_add_up_are_told() -> None:
    counts = {
        "arrived": 5,
        "active": 1,
        "ended": 2,
        "leftBeforeAnswer": 1,
        "refused": {"NoFreePort": 1},
        "endedBy": {"cut": 2},
    }
    assert uncounted(counts) == []
    assert "6 calls arrived" in uncounted({**counts, "arrived": 6})[0]
    assert "by their reasons {'cut': 1}" in uncounted({**counts, "endedBy": {"cut": 1}})[0]
