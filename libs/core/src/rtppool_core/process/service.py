"""Start and stop of a service: signals and exit codes."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rtppool_core.net.http_endpoints import ListenError
from rtppool_core.process.settings import SettingsError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Stop:
    """`asked` is set by the first SIGTERM or SIGINT, `urgent` by the second."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    urgent: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self) -> None:
        """Ask to stop; the second request is urgent."""
        (self.urgent if self.asked.is_set() else self.asked).set()


def run(name: str, start: Callable[[Stop], Awaitable[None]]) -> int:
    """Run a service until it ends by itself or by a signal. Returns the exit code.

    `start` reads settings, serves, and returns after `Stop.asked`. Invalid settings and a listener that can't bind are
    reported on standard error, one line each, without a traceback.
    """
    try:
        asyncio.run(_with_signals(start))
    except SettingsError as error:
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 the log is not configured yet
        return EXIT_SETTINGS
    except ListenError as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 as above
        return EXIT_FAILED
    return EXIT_OK


async def _with_signals(start: Callable[[Stop], Awaitable[None]]) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.request)
    try:
        await start(stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
