"""Watches `pools.json` and tells of every change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from rtppool_relay.config import ConfigState, next_state
from rtppool_relay.settings import Settings

log = logging.getLogger(__name__)

# The kubelet swaps a symlink, so a look at the file's identity is enough, and cheap.
LOOK_EVERY_SECONDS = 0.2


def read_file(path: Path) -> str | None:
    """The file's text, None where there is none. An unreadable file reads as broken text, so that it is reported."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class PoolWatch:
    """Holds the configuration state; `changed` is called after each change of it."""

    def __init__(self, settings: Settings, first: ConfigState) -> None:
        self._settings = settings
        self._path = settings.pool_config
        self._identity = _identity(self._path)
        self.state = next_state(first, read_file(self._path), settings)
        if self.state.error:
            log.error("%s", self.state.error)

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            identity = _identity(self._path)
            if identity == self._identity:
                continue
            self._identity = identity
            before, self.state = self.state, next_state(self.state, read_file(self._path), self._settings)
            if self.state != before:
                if self.state.error and self.state.error != before.error:
                    log.error("configuration kept as it was: %s", self.state.error)
                await changed()
                self._tell(before)

    def _tell(self, before: ConfigState) -> None:
        if self.state.config != before.config:
            config = self.state.config
            fields = {
                "pool": f"{config.pool.namespace}/{config.pool.name}" if config.pool else "none",
                "generation": config.generation,
                "range": str(config.port_range),
                "echo": str(config.echo),
            }
            log.info("configuration applied", extra={"fields": fields})
