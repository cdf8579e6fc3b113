"""Start and stop of a service: signals and exit codes."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rtppool_core.net.listeners import ListenError
from rtppool_core.process.early_stop import STOP_SIGNALS, exit_on_signals
from rtppool_core.process.settings import SettingsError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2

log = logging.getLogger(__name__)


class StartError(Exception):
    """The service can't start; the message is a sentence with the remedy."""


def _do_nothing() -> None:
    """Leave the signals as they are."""


@dataclass(slots=True)
class Stop:
    """`asked` is set by the first SIGTERM or SIGINT, `urgent` by the second.

    `begin_serving` has these signals ask to stop, in a service that a signal ended at once until then.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    begin_serving: Callable[[], None] = _do_nothing

    def request(self) -> None:
        """Ask to stop; the second request is urgent."""
        (self.urgent if self.asked.is_set() else self.asked).set()


def run(name: str, start: Callable[[Stop], Awaitable[None]], *, exit_before_serving: bool = False) -> int:
    """Run a service until it ends by itself or by a signal. Returns the exit code.

    `start` reads settings, serves, and returns after `Stop.asked`. Invalid settings, a listener that can't bind and a
    `StartError` are reported on standard error, one line each, without a traceback. With `exit_before_serving`, a
    signal ends the process and its children at once until `start` calls `Stop.begin_serving`.
    """
    if exit_before_serving:
        exit_on_signals()
    try:
        asyncio.run(_with_signals(start, exit_before_serving=exit_before_serving))
    except SettingsError as error:
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)  # noqa: T201 the log is not configured yet
        return EXIT_SETTINGS
    except (ListenError, StartError) as error:
        print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 as above
        return EXIT_FAILED
    return EXIT_OK


async def _with_signals(start: Callable[[Stop], Awaitable[None]], *, exit_before_serving: bool) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()

    def ask_on_signals() -> None:
        # The event loop's wake-up descriptor is set before its handler, so no signal is lost between two handlers.
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, stop.request)

    if exit_before_serving:
        stop.begin_serving = ask_on_signals
    else:
        ask_on_signals()
    try:
        await start(stop)
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
