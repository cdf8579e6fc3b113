"""The live table of `make run`."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console, RenderableType

from rtppool_callgen.cli import main
from rtppool_callgen.demo.controls import Key
from rtppool_callgen.demo.live_table import keys_line, live_table, second_line, summary
from rtppool_callgen.demo.relay_view import RelayView, relay_view
from rtppool_callgen.formats import milliseconds

WINDOW = {
    "packets": 3000,
    "p50Microseconds": 120,
    "p99Microseconds": 410,
    "maxMicroseconds": 3310,
    "latePpm": 3188,
    "lossPpm": 0,
    "late": {"source": 1, "relay": 9, "echo": 1},
}

SECOND = {
    "kind": "calls",
    "packets": 254,
    "lost": 1,
    "late_source": 5,
    "late_relay": 0,
    "late_echo": 238,
    "late_host": None,
    "p50": 20_580,
    "p99": 22_680,
}


def call(number: int, p99: int | None) -> dict[str, Any]:
    figures = {"packets": 50, "lost": 1, "late": {"source": 4, "relay": 2, "echo": 1}, "sla": "Met"}
    if p99 is not None:
        figures |= {"p50Microseconds": 100, "p99Microseconds": p99}
    return {"call": f"standin-{number}", "port": 10000 + number, "state": "talking", "figures": figures}


def view(**changes: Any) -> RelayView:
    status = {
        "ports": {"range": "10000-10100", "free": 0, "total": 101},
        "calls": {"active": 101, "accepted": 101, "ended": 0, "refused": {"NoFreePort": 1}},
        "ari": {"state": "Connected"},
        "echo": {"host": "127.0.0.1", "port": 4000, "reachable": True},
    }
    sla = {
        "result": "Violated",
        "reason": "LimitExceeded",
        "tierUpToCalls": 150,
        "violations": [{"limit": "maxLatePpm", "measured": 3188, "accepted": 1000}],
        "calls": WINDOW,
    }
    calls = {
        "live": [call(1, 300), call(2, 900), call(3, None)],
        "recent": [{"call": "standin-102", "state": "ended", "refusal": "all 101 ports are leased"}],
    }
    for name, value in changes.items():
        {"status": status, "sla": sla, "calls": calls}[name].update(value)
    return relay_view(status, sla, calls)


def text(shown: RenderableType) -> str:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get()


def test_the_worst_call_stands_first_and_what_was_not_measured_is_a_dash() -> None:
    lines = text(live_table(view(), "http://127.0.0.1:9090", SECOND)).splitlines()
    rows = [line.split() for line in lines if "standin-" in line]
    assert [row[0] for row in rows] == ["standin-2", "standin-1", "standin-3"]
    assert rows[0] == ["standin-2", "10002", "talking", "50", "0.10", "0.90", "3", "4", "-", "1", "Met"]
    assert rows[2][4:6] == ["-", "-"]


def test_rows_that_do_not_fit_are_counted() -> None:
    assert "… and 2 more calls" in text(live_table(view(), "http://127.0.0.1:9090", SECOND, rows=1))


def test_a_refusal_is_shown_with_its_reason() -> None:
    shown = text(live_table(view(), "http://127.0.0.1:9090", SECOND))
    assert "1 refused" in shown
    assert "refused (1 NoFreePort): all 101 ports are leased" in shown


def test_the_address_of_the_verdict_is_shown() -> None:
    assert "http://127.0.0.1:9090/sla" in text(live_table(view(), "http://127.0.0.1:9090", SECOND))


def test_the_summary_says_verdict_limit_and_figures() -> None:
    shown = " ".join(text(summary(view(), 60)).split())
    assert "After 60 s" in shown
    assert "SLA Violated (LimitExceeded, tier up to 150 calls)" in shown
    assert "limit missed: maxLatePpm 3188 > 1000" in shown
    assert "p99 0.41 ms" in shown


def test_the_latest_second_has_round_trip_causes_and_loss() -> None:
    assert second_line(SECOND) == (
        "now (calls): round trip p50 20.58 ms, p99 22.68 ms, late source 5, relay 0, echo 238, lost 1 of 254"
    )


def test_what_the_latest_second_did_not_measure_is_a_dash() -> None:
    assert second_line({"kind": "probe", "packets": 5}) == "now (probe): round trip p50 -, p99 -, late -, lost - of 5"
    assert second_line({}) == "now: no packets"


def test_a_switch_that_is_on_is_marked() -> None:
    async def nothing() -> None: ...

    keys = (Key("d", "delay", nothing, lambda: True), Key("q", "quit", nothing))
    line = keys_line(keys)
    assert line.plain.split() == ["keys", "d", "delay", "q", "quit"]
    assert [line.plain[span.start : span.end] for span in line.spans if span.style == "reverse"] == ["delay"]


SHARE = "0.61 % late; the hypervisor took 3.0 s of this machine's 122 s of CPU; all late packets lie in those seconds."


def test_the_host_s_share_closes_the_summary_with_its_consequence() -> None:
    sla = {"host": {"sentence": SHARE, "stolenMilliseconds": 3020, "cpuSeconds": 122.0}}
    for shown in (summary(view(sla=sla), 60), live_table(view(sla=sla), "http://127.0.0.1:9090", SECOND)):
        words = " ".join(text(shown).split())
        assert SHARE in words
        assert "can't be kept on a virtual machine whose hypervisor takes its processors" in words


def test_a_machine_that_keeps_its_processors_gets_no_such_advice() -> None:
    quiet = {"host": {"stolenMilliseconds": 30, "cpuSeconds": 122.0}}
    for sla in (quiet, {}):
        assert "can't be kept" not in text(summary(view(sla=sla), 60))


def test_late_packets_are_shown_by_four_causes() -> None:
    window = {**WINDOW, "late": {"source": 1, "relay": 9, "echo": 1, "host": 7, "judged": 10}}
    assert "source 1, relay 9, echo 1, host 7 packets" in " ".join(
        text(summary(view(sla={"calls": window}), 60)).split()
    )
    calls = {"live": [call(1, 300)]}
    calls["live"][0]["figures"]["late"]["host"] = 8
    shown = text(live_table(view(calls=calls), "a", SECOND)).splitlines()
    row = next(line.split() for line in shown if "standin-1" in line)
    assert row[6:10] == ["3", "4", "8", "1"]


def test_without_calls_the_probe_is_shown_as_the_probe() -> None:
    sla = {"calls": None, "probe": WINDOW, "result": "Unknown", "reason": "NoCalls", "violations": []}
    assert "probe: 3000 packets" in text(live_table(view(sla=sla), "http://127.0.0.1:9090", SECOND))


def test_an_echo_that_does_not_answer_is_said() -> None:
    status = {"echo": {"host": "192.0.2.9", "port": 4000, "reachable": False}}
    assert "the echo at 192.0.2.9:4000 does not answer" in text(
        live_table(view(status=status), "http://127.0.0.1:9090", SECOND)
    )


def test_nothing_measured_is_not_zero() -> None:
    assert milliseconds(None) == "-"
    assert milliseconds(0) == "0.00 ms"


def test_a_round_trip_above_its_limit_never_looks_equal_to_it() -> None:
    assert [milliseconds(value) for value in (22_000, 22_001, 22_010)] == ["22.00 ms", "22.01 ms", "22.01 ms"]


@pytest.mark.parametrize(
    "arguments", [["run", "--calls", "-1"], ["run", "--calls", "many"], ["serve", "--port", "70000"]]
)
def test_a_number_out_of_bounds_is_refused_with_what_is_accepted(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "accepted is a whole number from 0 to" in capsys.readouterr().err


def test_serving_without_a_password_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ARI_PASS", raising=False)
    monkeypatch.delenv("ARI_PASS_FILE", raising=False)
    assert main(["serve", "--port", "0"]) == 2
    assert "ARI_PASS" in capsys.readouterr().err
