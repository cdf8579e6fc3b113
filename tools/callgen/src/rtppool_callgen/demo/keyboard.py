"""Single keys from a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator

MAX_WAITING = 16


def has_keyboard() -> bool:
    """Return whether the standard input is a terminal of which this process may read."""
    try:
        return os.isatty(sys.stdin.fileno()) and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def keys_of_terminal(on_close: Callable[[], None]) -> Iterator[asyncio.Queue[str]]:
    """Yield a queue of pressed keys. The terminal has its former modes afterwards; Ctrl-C stays a signal.

    `on_close` is called where the terminal is closed. That sends SIGHUP as well, which a parent may have switched off.
    """
    descriptor, keys = sys.stdin.fileno(), asyncio.Queue[str](MAX_WAITING)
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            pressed = os.read(descriptor, MAX_WAITING)
        except OSError:
            pressed = b""
        if not pressed:
            loop.remove_reader(descriptor)
            on_close()
        for key in pressed.decode("ascii", "ignore"):
            # A key that is held down waits for nobody.
            with contextlib.suppress(asyncio.QueueFull):
                keys.put_nowait(key)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield keys
    finally:
        loop.remove_reader(descriptor)
        # A terminal that was closed has no modes.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
