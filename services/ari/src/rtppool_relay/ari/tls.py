"""The authorities that the relay accepts for TLS with Asterisk."""

from __future__ import annotations

import ssl
from pathlib import Path


class CaFileError(Exception):
    """A file of certificates that cannot be used. The message is the reason."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that accepts only the authorities in `ca_file` (PEM), or without a file those of the system.

    The certificate must name the host of ARI_URL.

    Raises:
        CaFileError: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise CaFileError("holds no certificate in PEM") from error
    except OSError as error:
        raise CaFileError(f"can't be read ({error.strerror or error})") from error
