"""A secret in a mounted file, which can be rotated while the process runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

# A changed file is read at the next use. File systems can miss a change within one tick of their clock.
MAX_AGE_SECONDS = 60.0
MAX_SECRET_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class SecretFileError(OSError):
    """A secret was never readable. The message is the reason alone, such as `No such file or directory`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason


class SecretFile:
    """Provides the current content of a file. `name` is the setting that names the file, for log lines.

    A use costs one stat(2), which needs no descriptor. The content is read again when the file has changed, and at the
    latest after `MAX_AGE_SECONDS`. When that fails, the last content stays in use. The clock is monotonic.
    """

    def __init__(self, name: str, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._path = path
        self._clock = clock
        self._content: str | None = None
        self._read_at_seconds = 0.0
        self._state: tuple[int, ...] = ()
        self._problem: str | None = None

    def value(self) -> str:
        """Return the secret without surrounding white space.

        Raises:
            SecretFileError: the file has not been readable since the process started.
        """
        try:
            self._refresh()
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8 text"
            if reason != self._problem:
                log.warning("%s=%s can't be read: %s", self._name, self._path, reason)
            self._problem = reason
            if self._content is None:
                raise SecretFileError(reason) from error
        else:
            self._problem = None
        return self._content or ""

    def _refresh(self) -> None:
        found = self._path.stat()
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        now_seconds = self._clock()
        if self._content is not None and state == self._state and now_seconds < self._read_at_seconds + MAX_AGE_SECONDS:
            return
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = os.read(descriptor, MAX_SECRET_BYTES)
        finally:
            os.close(descriptor)
        self._content = content.decode("utf-8").strip()
        self._state = state
        self._read_at_seconds = now_seconds
