"""The watch on `pools.json`, which the operator writes and the kubelet mounts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from rtppool_relay.config import ConfigState, next_state
from rtppool_relay.settings import Settings

log = logging.getLogger(__name__)

# The kubelet swaps a symlink, so comparing the file's identity finds every change, and is cheap.
CHECK_SECONDS = 0.2


def read_file(path: Path) -> str | None:
    """Return the file's text, or None without a file. An unreadable file yields an invalid text, which is reported."""
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


class PoolsFileWatcher:
    """Holds the configuration state. `run` calls `changed` after each change of it."""

    def __init__(self, settings: Settings, initial: ConfigState) -> None:
        self._settings = settings
        self._path = settings.pool_config
        self._identity = _identity(self._path)
        self.state = next_state(initial, read_file(self._path), settings)
        if self.state.error:
            log.error("%s", self.state.error)

    async def run(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Check the file forever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            identity = _identity(self._path)
            if identity == self._identity:
                continue
            self._identity = identity
            before, self.state = self.state, next_state(self.state, read_file(self._path), self._settings)
            if self.state == before:
                continue
            if self.state.error and self.state.error != before.error:
                log.error("the configuration stays as it was: %s", self.state.error)
            await changed()
            self._log_change(before)

    def _log_change(self, before: ConfigState) -> None:
        config = self.state.config
        if config != before.config:
            fields = {
                "pool": f"{config.pool.namespace}/{config.pool.name}" if config.pool else "none",
                "generation": config.generation,
                "range": str(config.port_range),
                "echo": str(config.echo),
            }
            log.info("configuration applied", extra={"fields": fields})
