"""Debian's Prometheus as a process on loopback."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from lab.base.places import LOOPBACK, inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.monitoring.prometheus import Prometheus

START_SECONDS = 60.0
REQUEST_SECONDS = 10.0


@asynccontextmanager
async def running_prometheus(
    program: Path, config: Mapping[str, Any], folder: Path, port: int
) -> AsyncIterator[Prometheus]:
    """Run a server with its data in `folder`; yield a client once it is ready.

    Raises:
        LabError: it does not start, for example because it refuses the configuration.
    """
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    options = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    )
    process = Process("prometheus", [program, *options], inherited_variables(), folder / "prometheus.log")

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=REQUEST_SECONDS) as answer:
            return str(answer.read().decode())

    def is_ready() -> bool:
        process.check()
        try:
            return "ready" in get("/-/ready").lower()
        except (urllib.error.URLError, ConnectionError):
            return False

    try:
        await wait_until("prometheus is ready", is_ready, START_SECONDS)
        yield Prometheus(get)
    finally:
        await process.end()
