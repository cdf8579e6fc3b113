"""A relay process whose Asterisk accepts connections and answers nothing, so that no adoption ends."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from relay_process import relay_process, relay_settings

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_testing.ports import LOOPBACK, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)


async def test_the_relay_answers_http_and_is_ready_although_nothing_was_adopted(
    stand_in: StandIn, echo_port: int, tmp_path: Path
) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        url = f"http://{LOOPBACK}:{silent.getsockname()[1]}/ari"
        settings = relay_settings(stand_in, echo_port, free_range(4), ARI_URL=url)
        async with relay_process(settings, tmp_path / "log") as relay:

            async def ready() -> bool:
                answer = await relay.get("/ready")
                return bool(answer) and bool(answer["ready"])

            await until(ready, "the relay is ready")
            assert (await relay.get("/status"))["ari"]["state"] == "Unreachable"
