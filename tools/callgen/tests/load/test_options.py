"""The command line of the load test, and its settings from the relay."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.callers.sipp import SippCallers, SippSettings, host_and_port
from rtppool_callgen.cli import main
from rtppool_callgen.load.relay_reader import MAX_BYTES, RelayReader, RelayUnreadable
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.net.http_endpoints import listen

PLAN = LoadPlan(concurrent=1, per_second=1, duration_seconds=2, call_seconds=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--concurrent", "0"], "accepted is a whole number from 1 to 4096"),
        (["--duration", "-1"], "accepted are seconds above 0"),
        (["--duration", "nan"], "accepted are seconds above 0"),
        (["--per-second", "inf"], "accepted is a rate above 0"),
        (["--duration", "10"], "no call of that length fits in --duration 10"),
        (["--per-second", "1"], "never exceed 30 concurrent calls"),
        (["--port-range", "10100-10000"], "--port-range"),
        (["--callers", "ari"], "--callers ari requires --endpoint"),
        (["--callers", "sipp"], "--callers sipp requires --sip-target"),
        (["--ari-url", "http://127.0.0.1:8088/ari"], "--ari-url with --callers stand-in requires --relay-url"),
        (["--relay-url", "http://[::1]:9090", "--ari-url", "https://[::1]:8088/ari"], "the stand-in serves http://"),
        (["--relay-url", "http://[::1]:9090", "--ari-url", "http://[::1]/ari"], "serves http://ADDRESS:PORT/ari"),
        (["--relay-url", "http://[::1]:9090", "--ari-url", "http://[::1]:8088"], "serves http://ADDRESS:PORT/ari"),
        (["--callers", "sipp", "--relay-url", "ftp://relay"], "accepted is http:// or https://"),
        (["--callers", "ari", "--ari-url", "http://me:secret@pbx:8088/ari"], "secrets are read from the environment"),
        (["--callers", "ari", "--ari-url", "http://pbx:8088/ari?api_key=me:secret"], "secrets are read from"),
    ],
)
def test_an_option_that_can_not_be_used_is_refused_with_what_is_accepted(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["load", *arguments])
    assert refused.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "me:secret" not in error


def test_ari_without_a_password_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("ARI_PASS", raising=False)
    monkeypatch.delenv("ARI_PASS_FILE", raising=False)
    assert main(["load", "--callers", "ari", "--endpoint", "Local/s@x", "--output", str(tmp_path)]) == 2
    assert "ARI_PASS" in capsys.readouterr().err


def test_a_token_file_that_can_not_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RELAY_TOKEN_FILE", str(tmp_path / "none"))
    assert main(["load", "--callers", "sipp", "--sip-target", "127.0.0.1", "--output", str(tmp_path)]) == 2
    assert "RELAY_TOKEN_FILE" in capsys.readouterr().err


def test_a_relay_that_is_not_there_is_a_report_without_samples_and_exit_code_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["load", "--callers", "sipp", "--sip-target", "127.0.0.1:9", "--sipp", sys.executable]
    assert main([*arguments, "--relay-url", "http://127.0.0.1:9", "--output", str(tmp_path)]) == 3
    verdict = json.loads((tmp_path / "report.json").read_text())["verdict"]
    assert verdict["result"] == "NothingMeasured"
    assert "http://127.0.0.1:9/status can't be read" in verdict["sentence"]
    assert verdict["sentence"] in " ".join(capsys.readouterr().out.split())
    assert "Nothing was measured" in (tmp_path / "chart.svg").read_text()


@pytest.fixture
async def relay() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind == "guarded":
            known = request.headers.get("Authorization") == "Bearer token"
            return web.Response(status=200 if known else 401, text="{}")
        texts = {"list": "[]", "broken": "{", "large": "x" * (MAX_BYTES + 1)}
        return web.Response(text=texts[kind]) if kind in texts else web.Response(status=503)

    app = web.Application()
    app.router.add_get("/{kind}", answer)
    runner, port = await listen(app, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/list", "is not a JSON object"),
        ("/broken", "is not JSON"),
        ("/large", "answers more than 16 MiB"),
        ("/guarded", "requires its token; set RELAY_TOKEN"),
        ("/other", "answers 503"),
    ],
)
async def test_what_is_no_document_of_a_relay_is_refused_with_a_sentence(relay: str, path: str, said: str) -> None:
    async with RelayReader(relay, "") as reader:
        with pytest.raises(RelayUnreadable, match=said):
            await reader.document(path)


async def test_the_token_is_given_as_bearer(relay: str) -> None:
    async with RelayReader(relay + "/", "token") as reader:
        assert await reader.document("/guarded") == {}


@pytest.mark.parametrize(
    ("target", "expected"),
    [("pbx", ("pbx", 5060)), ("127.0.0.1:5080", ("127.0.0.1", 5080)), ("[::1]:5080", ("::1", 5080))],
)
def test_a_sip_target_is_a_host_and_a_port(target: str, expected: tuple[str, int]) -> None:
    assert host_and_port(target) == expected


@pytest.mark.parametrize("target", ["", ":5060", "sip:me@pbx", "pbx:99999", "pbx/x", "me@pbx"])
def test_what_is_no_sip_target_is_refused_with_what_is_accepted(target: str) -> None:
    with pytest.raises(CallersFailed, match="accepted is host:port"):
        host_and_port(target)


async def test_without_sipp_it_says_how_to_have_it(tmp_path: Path) -> None:
    callers = SippCallers(PLAN, SippSettings("127.0.0.1", program=("no-such-sipp",)), tmp_path)
    with pytest.raises(CallersFailed, match="no-such-sipp is not on the PATH; install SIPp"):
        async with callers:
            pass


async def test_a_scenario_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = SippSettings("127.0.0.1", scenario=tmp_path / "none.xml", program=(sys.executable,))
    with pytest.raises(CallersFailed, match=r"none\.xml: there is no such file"):
        async with SippCallers(PLAN, settings, tmp_path):
            pass
