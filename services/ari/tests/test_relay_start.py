"""The start of a relay: packets of adopted calls wait for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

STARTED = "import sys, rtppool_core.process.service, rtppool_relay.app; print(*sys.modules)"


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return the modules that a relay loads before it adopts calls."""
    done = subprocess.run([sys.executable, "-c", STARTED], capture_output=True, text=True, check=True)  # noqa: S603 our own
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["aiohttp.web", "prometheus_client", "rtppool_relay.http.service", "numba"])
def test_modules_that_no_call_waits_for_are_loaded_later(loaded: set[str], module: str) -> None:
    assert "rtppool_relay.calls.telephony" in loaded
    assert module not in loaded
