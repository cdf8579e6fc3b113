from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from rtppool_core.process.quick_imports import AUTHORITIES, quick_imports
from rtppool_testing.certificates import write_authority

PROGRAM = """
import os, ssl
from rtppool_core.process.quick_imports import quick_imports
with quick_imports():
    import aiohttp.connector
own = ssl.create_default_context(cafile=os.environ["OWN"])
print(len(aiohttp.connector._SSL_CONTEXT_VERIFIED.get_ca_certs()), len(own.get_ca_certs()), own.verify_mode.name)
print(aiohttp.connector._SSL_CONTEXT_VERIFIED.verify_mode.name)
"""


def test_the_collector_rests_during_imports_and_leaves_their_objects_out_afterwards() -> None:
    before = gc.get_freeze_count()
    try:
        with quick_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("value", [None, "/etc/own.pem"])
def test_the_users_authorities_are_in_force_again_afterwards(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    with quick_imports():
        assert {os.environ[name] for name in AUTHORITIES} == {os.devnull}
    gc.unfreeze()
    assert {os.environ.get(name) for name in AUTHORITIES} == {value}


def test_the_default_contexts_of_aiohttp_trust_no_server_and_a_context_of_our_own_does(tmp_path: Path) -> None:
    environment = {**os.environ, "OWN": str(write_authority(trustme.CA(), tmp_path))}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 our own
    assert done.stdout.split() == ["0", "1", "CERT_REQUIRED", "CERT_REQUIRED"]
