"""`promtool check metrics` finds no fault in the real answers of all three programs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from api_stand_in import ApiStandIn
from test_operator_app import api, make_app

from lab.base.places import inherited_variables
from lab.base.processes import Process
from rtppool_testing.ports import LOOPBACK, free_port, free_range
from rtppool_testing.waiting import until

# Fixtures are found by their names here.
__all__ = ["api"]
Promtool = Callable[..., Any]


async def read(port: int) -> str | None:
    """Return /metrics, or None while nothing answers."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://{LOOPBACK}:{port}/metrics") as answer:
            return await answer.text() if answer.status == 200 else None
    except aiohttp.ClientError:
        return None


@asynccontextmanager
async def metrics_of(module: str, folder: Path, **variables: str) -> AsyncIterator[str]:
    port = free_port()
    environment = {**inherited_variables(), "HTTP_BIND": LOOPBACK, "HTTP_PORT": str(port), **variables}
    process = Process(module, [sys.executable, "-m", module], environment, folder / "log")
    found: list[str] = []

    async def is_read() -> bool:
        text = await read(port)
        found.extend([text] if text else [])
        return bool(text)

    try:
        await until(is_read, f"{module} serves its metrics")
        yield found[0]
    finally:
        await process.end()


def assert_clean(promtool: Promtool, text: str, prefix: str) -> None:
    assert f"# TYPE {prefix}_" in text
    done = promtool("check", "metrics", text=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


async def test_the_relay_s_metrics_are_clean(promtool: Promtool, tmp_path: Path) -> None:
    settings = {"BIND_IP": LOOPBACK, "PORT_RANGE": str(free_range(2)), "POOL_CONFIG": "/nowhere/pools.json"}
    async with metrics_of("rtppool_relay", tmp_path, **settings) as text:
        # A figure that was not measured has no sample, but every metric has its type.
        assert "# TYPE rtp_relay_window_rtt_seconds summary" in text
        assert_clean(promtool, text, "rtp_relay")


async def test_the_echo_s_metrics_are_clean(promtool: Promtool, tmp_path: Path) -> None:
    settings = {"ECHO_BIND": LOOPBACK, "ECHO_PORT": str(free_port())}
    async with metrics_of("rtppool_echo", tmp_path, **settings) as text:
        assert_clean(promtool, text, "rtp_echo")


async def test_the_operator_s_metrics_are_clean(promtool: Promtool, api: ApiStandIn) -> None:
    assert api.port
    app = await make_app()
    try:
        await app.start(LOOPBACK, 0)
        text = await read(app.http_port)
        assert text is not None
        assert_clean(promtool, text, "rtp_operator")
    finally:
        await app.stop()


def test_that_check_finds_a_gauge_with_quantiles(promtool: Promtool) -> None:
    text = '# HELP rtp_relay_x_seconds X.\n# TYPE rtp_relay_x_seconds gauge\nrtp_relay_x_seconds{quantile="0.5"} 1\n'
    done = promtool("check", "metrics", text=text)
    assert done.returncode != 0
    assert "quantile" in done.stderr
