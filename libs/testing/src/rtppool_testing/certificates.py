"""Certificates of a private authority, as files and as a server's context."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


def write_authority(authority: trustme.CA, folder: Path) -> Path:
    """Write the authority's certificate, and return its file."""
    path = folder / "ca.crt"
    authority.cert_pem.write_to_path(path)
    return path


def write_secret(authority: trustme.CA, name: str, folder: Path, key_of: trustme.LeafCert | None = None) -> None:
    """Write the keys of a Secret as cert-manager does, for a server of this name. `key_of`: with another's key."""
    issued = authority.issue_cert(name)
    issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    (key_of or issued).private_key_pem.write_to_path(folder / "tls.key")
    write_authority(authority, folder)


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    """Return the context of a server of this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
