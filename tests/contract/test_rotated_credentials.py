"""ARI's user and password in files that change while a relay serves calls."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from relay_process import APPLICATION, RelayProcess, relay_process, relay_settings, talking

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_testing.echo import echo
from rtppool_testing.ports import free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)


def write(path: Path, text: str) -> None:
    """Replace the file as the kubelet does, never by half."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


@asynccontextmanager
async def relay_with_files(stand_in: StandIn, folder: Path, user: Path, password: Path) -> AsyncIterator[RelayProcess]:
    """Run a relay with an echo, whose user and password are in files."""
    async with echo() as echo_port:
        settings = relay_settings(stand_in, echo_port, free_range(4))
        del settings["ARI_USER"], settings["ARI_PASS"]
        settings |= {"ARI_USER_FILE": str(user), "ARI_PASS_FILE": str(password)}
        async with relay_process(settings, folder / "relay.log") as relay:
            yield relay


async def test_a_rotated_password_is_used_without_a_restart_and_cuts_no_call(stand_in: StandIn, tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    write(user, "relay\n")
    write(password, "secret\n")
    async with relay_with_files(stand_in, tmp_path, user, password) as relay:
        await until(relay.connected, "the relay takes calls")
        first = stand_in.place_call(APPLICATION)
        await talking(stand_in, [first])
        stand_in._password = "another"
        write(password, "another\n")

        async def is_logged() -> bool:
            return "the credentials of ARI have changed" in (tmp_path / "relay.log").read_text()

        await until(is_logged, "the changed password is logged")
        second = stand_in.place_call(APPLICATION)
        await talking(stand_in, [first, second])
        calls = await relay.calls()
        assert (calls["active"], calls["arrived"], calls["cut"], calls["endedBy"]) == (2, 2, 0, {})
        assert (await relay.get("/status"))["ari"]["reconnects"] == 0
        assert "another" not in (tmp_path / "relay.log").read_text()
        relay.signal(signal.SIGTERM)


async def test_a_user_that_appears_later_in_its_file_is_used(stand_in: StandIn, tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    write(user, "")
    write(password, "secret\n")
    async with relay_with_files(stand_in, tmp_path, user, password) as relay:

        async def is_not_configured() -> bool:
            status = await relay.get("/status")
            return status is not None and status["ari"]["state"] == "NotConfigured"

        await until(is_not_configured, "a relay without a user")
        write(user, "relay\n")
        await until(relay.connected, "the relay takes calls")
