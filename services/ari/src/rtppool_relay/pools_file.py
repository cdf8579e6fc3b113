"""The watch on `pools.json`, which the operator writes and the kubelet mounts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from rtppool_core.process.periodic import describe_failure, remedy
from rtppool_relay.config import ConfigState, next_state
from rtppool_relay.settings import Settings

log = logging.getLogger(__name__)

# The kubelet swaps a symlink, so comparing the file's identity finds every change, and is cheap.
CHECK_SECONDS = 0.2


Identity = tuple[int, int, int]


class PoolsFileWatcher:
    """Holds the configuration state. `check` reads the file where it has changed, or has not been read well yet."""

    def __init__(self, settings: Settings, initial: ConfigState) -> None:
        self._settings = settings
        self._path = settings.pool_config
        # Of the file that was read well; None before.
        self._identity: Identity | None = None
        self.state = initial
        self._read()
        self._applied = self.state

    async def check(self, apply: Callable[[], Awaitable[None]]) -> None:
        """Read a new or unread file, and await `apply` until it has succeeded once for the latest state."""
        self._read()
        before = self._applied
        if self.state == before:
            return
        await apply()
        self._applied = self.state
        self._log_change(before)

    def _read(self) -> None:
        """Read the file unless this version was read well. The last good configuration stays in any other case."""
        before = self.state
        identity: Identity | None = None
        try:
            identity = _identity(self._path)
            if identity is not None and identity == self._identity:
                return
            text = None if identity is None else self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            self.state = next_state(before, None, self._settings)
        except (OSError, MemoryError) as error:
            problem = f"{self._path} can't be read: {describe_failure(error)}; it is read again. {remedy(error)}"
            self.state = ConfigState(before.config, problem)
        else:
            self.state = next_state(before, text, self._settings)
        # Remembered last: a file that could not be read, or is invalid, is read again.
        self._identity = identity if self.state.error is None else None
        if self.state.error and self.state.error != before.error:
            log.error("the configuration stays as it was: %s", self.state.error)

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


def _identity(path: Path) -> Identity | None:
    """Return the file's identity, or None without a file.

    Raises:
        OSError: it can't be determined.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
