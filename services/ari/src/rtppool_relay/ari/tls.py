"""What certificates the relay believes when it speaks TLS with Asterisk."""

from __future__ import annotations

import ssl
from pathlib import Path


class CaFileError(Exception):
    """A file of certificates can't be used; the message says why."""


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Believe the authorities in `ca_file` (PEM) and no others; without a file those of the system.

    Names are checked: the certificate must be for the host of ARI_URL.

    Raises:
        CaFileError: the file can't be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise CaFileError("holds no certificate in PEM") from error
    except OSError as error:
        raise CaFileError(f"can't be read ({error.strerror or error})") from error
