"""Command line arguments within bounds, and the ARI user of the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from rtppool_core.contract.port_range import PortRange, PortRangeError
from rtppool_core.process.settings import Environment

MAX_CALLS = 4096
MAX_PER_SECOND = 1000
MAX_SECONDS = 86_400
MAX_PORT = 65_535


def calls(lowest: int) -> Callable[[str], int]:
    """Return a parser of a number of calls."""
    return lambda text: _bounded("calls", text, lowest, MAX_CALLS)


def port(text: str) -> int:
    """Parse a port; 0 is any."""
    return _bounded("port", text, 0, MAX_PORT)


def port_range(text: str) -> str:
    """Parse a range of ports, such as 10000-10100."""
    try:
        return str(PortRange.parse(text))
    except PortRangeError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def rate(text: str) -> float:
    """Parse calls per second."""
    found = _number(text)
    if not 0 < found <= MAX_PER_SECOND:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a rate above 0, up to {MAX_PER_SECOND}")
    return found


def seconds(text: str) -> float:
    """Parse a duration."""
    found = _number(text)
    if not 0 < found <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted are seconds above 0, up to {MAX_SECONDS}")
    return found


def read_credentials() -> tuple[str, str]:
    """Return the ARI user and password, from `ARI_USER`, and `ARI_PASS` or `ARI_PASS_FILE`.

    Arguments are visible in the list of processes, so secrets come from the environment.

    Raises:
        SettingsError: there is no password.
    """
    env = Environment(os.environ)
    user, password = env.text("ARI_USER", "rtp-pool"), env.secret("ARI_PASS")
    if not password:
        env.problem("ARI_PASS= : is empty; accepted is the password that the relay is given, here or in ARI_PASS_FILE")
    env.finish()
    return user, password


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _bounded(name: str, text: str, lowest: int, highest: int) -> int:
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"{name} {text!r}; accepted is a whole number from {lowest} to {highest}")
    return int(text)
