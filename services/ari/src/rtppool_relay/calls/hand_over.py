"""The time at which a relay left its calls, kept in Asterisk for the next relay on the node.

It is a global variable of Asterisk, and so lives as long as the calls do. A relay that was killed leaves none. Then the
gap of its calls is unknown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from rtppool_core.units import NS_PER_MS
from rtppool_relay.ari.errors import AriError, AriRefused
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls.ids import CallIds

log = logging.getLogger(__name__)

# The hand-over must not wait longer for Asterisk: packets are lost meanwhile.
MAX_PUBLISH_SECONDS = 0.2
# Another relay may have registered the application meanwhile.
MAX_UNREGISTER_SECONDS = 0.5
UNREGISTER_POLL_SECONDS = 0.01
_MAX_DIGITS = 15


def departure_variable(ids: CallIds) -> str:
    """Return the variable's name. Its value is Unix time in ms."""
    return f"RTP_RELAY_{ids.prefix}LEFT"


def parse_departure(text: str | None) -> int | None:
    """Return the previous relay's departure in ns of Unix time, or None where `text` is no time."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS:
        return None
    return int(text) * NS_PER_MS


async def publish_departure(client: AriClient, ids: CallIds, wall_ns: Callable[[], int]) -> bool:
    """Set the departure to the current time. Return False where Asterisk did not confirm it in time."""
    left_unix_ms = wall_ns() // NS_PER_MS
    try:
        async with asyncio.timeout(MAX_PUBLISH_SECONDS):
            await client.set_global_variable(departure_variable(ids), str(left_unix_ms))
    except (AriError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        log.warning("the time of departure is not stored, so the next relay cannot measure the gap: %s", reason)
        return False
    return True


async def wait_until_unregistered(client: AriClient, application: str) -> None:
    """Wait until Asterisk has ended the application of a closed connection. Call it while no call holds it.

    Asterisk ends it some ms after the connection. It would also end the registration of a next relay meanwhile, whose
    connection stays open.
    """
    try:
        async with asyncio.timeout(MAX_UNREGISTER_SECONDS):
            while True:
                if not await client.application_exists(application):
                    return
                await asyncio.sleep(UNREGISTER_POLL_SECONDS)
    except (AriError, TimeoutError) as error:
        log.debug("it is unknown whether Asterisk has ended the application: %s", error)


async def take_departure(client: AriClient, ids: CallIds) -> int | None:
    """Return the previous relay's departure in ns of Unix time and unset it, or None where there is none.

    Raises:
        AriError: Asterisk did not answer.
    """
    name = departure_variable(ids)
    try:
        text = await client.global_variable(name)
        if text is not None:
            await client.clear_global_variable(name)
    except AriRefused as refused:
        log.debug("Asterisk refuses its global variables: %s", refused)
        return None
    left_ns = parse_departure(text)
    if text is not None and left_ns is None:
        log.warning("%s is no time, so the gap of adopted calls is unknown", name)
    return left_ns
