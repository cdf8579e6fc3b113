"""Imports at the start of a program, without work that a start does not need."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

# OpenSSL reads the system's authorities from here (SSL_CTX_set_default_verify_paths(3)).
AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import modules without garbage collection, and without the system's certificate authorities.

    aiohttp reads the authorities twice when it is imported, for two default contexts. A program that uses this makes
    contexts of its own. The default ones trust no server. The collector would examine all modules again and again, and
    later collections leave them out.
    """
    before = {name: os.environ.get(name) for name in AUTHORITIES}
    collects = gc.isenabled()
    gc.disable()
    os.environ.update(AUTHORITIES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        gc.freeze()
        if collects:
            gc.enable()
