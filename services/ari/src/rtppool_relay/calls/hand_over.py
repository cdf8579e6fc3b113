"""The word that a relay leaves in Asterisk for its successor on the node: when it left its calls.

It is a global variable of Asterisk, so that it lives as long as the calls do. A relay that was killed leaves none: then
nobody knows how long its calls were without one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from rtppool_core.units import NS_PER_MS
from rtppool_relay.ari.client import AriClient
from rtppool_relay.ari.errors import AriError, AriRefused
from rtppool_relay.calls.ids import CallIds

log = logging.getLogger(__name__)

# Nobody's calls wait longer than this for a word.
LEAVING_SECONDS = 0.2
_MAX_DIGITS = 15


def word_name(ids: CallIds) -> str:
    """The variable's name; its value is Unix time in ms."""
    return f"RTP_RELAY_{ids.prefix}LEFT"


def parse_word(text: str | None) -> int | None:
    """When the predecessor left, in ns of Unix time; None where there is no such word."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS:
        return None
    return int(text) * NS_PER_MS


async def leave_word(client: AriClient, ids: CallIds, wall_ns: Callable[[], int]) -> bool:
    """Say that the calls are being left now. False: Asterisk did not take it in time."""
    left_unix_ms = wall_ns() // NS_PER_MS
    try:
        async with asyncio.timeout(LEAVING_SECONDS):
            await client.set_global_variable(word_name(ids), str(left_unix_ms))
    except (AriError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        log.warning("no word is left for the next relay, so it can't tell the gap: %s", reason)
        return False
    return True


async def take_word(client: AriClient, ids: CallIds) -> int | None:
    """When the predecessor left, in ns of Unix time; None if it left no word. The word is taken away.

    Raises:
        AriError: Asterisk can't be asked.
    """
    name = word_name(ids)
    try:
        text = await client.global_variable(name)
        if text is not None:
            await client.clear_global_variable(name)
    except AriRefused as refused:
        log.debug("Asterisk does not tell its global variables: %s", refused)
        return None
    left_ns = parse_word(text)
    if text is not None and left_ns is None:
        log.warning("%s is no time, so the gap of adopted calls is not known", name)
    return left_ns
