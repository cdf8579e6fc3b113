"""TLS contexts of certificates in mounted files, which are replaced while the process runs."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path

# The keys of a Secret of type kubernetes.io/tls, and of cert-manager's.
CERTIFICATE_NAME, KEY_NAME, AUTHORITY_NAME = "tls.crt", "tls.key", "ca.crt"
# Two files that are not replaced at once do not fit for a moment.
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class TlsFileError(Exception):
    """Files that give no TLS context. The message is a sentence with the setting, its value and the remedy."""


class _ReloadedContext:
    """A context of files, made anew when one of them has changed. A use costs a stat(2) for each file.

    Files that can't be used leave the context before in force, with a line in the log.
    """

    def __init__(self, files: tuple[Path, ...], make: Callable[[], ssl.SSLContext], clock: Callable[[], float]) -> None:
        self._files = files
        self._make = make
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._state: tuple[object, ...] = ()
        self._problem: str | None = None
        self._retry_at_seconds = 0.0

    def value(self) -> ssl.SSLContext:
        """Return the context in force.

        Raises:
            TlsFileError: the files have not been usable since the process started.
        """
        if self._context is not None and not self._is_due():
            return self._context
        self._state = self._state_now()
        try:
            self._context = self._make()
        except TlsFileError as error:
            self._retry_at_seconds = self._clock() + RETRY_SECONDS
            if str(error) != self._problem:
                log.warning("%s", error)
            self._problem = str(error)
            if self._context is None:
                raise
            return self._context
        self._problem = None
        return self._context

    def _is_due(self) -> bool:
        if self._problem is not None:
            return self._clock() >= self._retry_at_seconds
        return self._state != self._state_now()

    def _state_now(self) -> tuple[object, ...]:
        return tuple(map(_state_of, self._files))


class ServerCertificate:
    """The certificate of a server: a folder with `tls.crt` and `tls.key`. `setting` names the folder in errors.

    Raises:
        TlsFileError: the pair can't be used at the start.
    """

    def __init__(self, setting: str, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._setting = setting
        self._folder = folder
        files = (folder / CERTIFICATE_NAME, folder / KEY_NAME)
        self._reloaded = _ReloadedContext(files, self._make, clock)
        self._reloaded.value()

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        return self._reloaded.value()

    def _make(self) -> ssl.SSLContext:
        certificate, key = self._folder / CERTIFICATE_NAME, self._folder / KEY_NAME
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            for file in (certificate, key):
                file.read_bytes()
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise TlsFileError(
                f"{self._setting}={self._folder}: {_reason(error)}; accepted is a folder with {CERTIFICATE_NAME} and "
                f"{KEY_NAME} in PEM, which belong together (a Secret of type kubernetes.io/tls)"
            ) from error
        return context


class TrustedAuthority:
    """The authority of servers that are reached by IP address, and the name that their certificates must have."""

    def __init__(
        self, setting: str, ca_file: Path, server_name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._setting = setting
        self._ca_file = ca_file
        self.server_name = server_name
        self._reloaded = _ReloadedContext((ca_file,), self._make, clock)

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Raises:
            TlsFileError: the file has not been usable since the process started.
        """
        return self._reloaded.value()

    @property
    def requirement(self) -> str:
        """The certificate that is accepted, as the end of a sentence."""
        return f"accepted is one for {self.server_name}, signed by the authority in {self._setting}={self._ca_file}"

    def _make(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise TlsFileError(
                f"{self._setting}={self._ca_file}: {_reason(error)}; accepted is a PEM file with the certificate of "
                f"the authority ({AUTHORITY_NAME} in the Secret of http.tlsSecret)"
            ) from error


def _state_of(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable certificate or key ({error.reason or error})"
    if isinstance(error, OSError):
        return f"{Path(str(error.filename)).name + ': ' if error.filename else ''}{error.strerror or error}"
    return str(error)
