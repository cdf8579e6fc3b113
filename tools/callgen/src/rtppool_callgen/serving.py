"""`python -m rtppool_callgen serve`: the stand-in as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass, field

from rtppool_callgen.call_load import hang_up_all, place_calls
from rtppool_callgen.stand_in import EndedCall, StandIn
from rtppool_core import logs
from rtppool_core.service import Stop
from rtppool_core.settings import Environment

log = logging.getLogger(__name__)

# So long a relay may take to tear down the calls of callers who hung up at the end.
FAREWELL_SECONDS = 2.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What the command line asks for."""

    host: str
    port: int
    application: str
    calls: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Credentials:
    """The ARI user; from the environment, so that no password stands in a list of processes."""

    user: str
    password: str = field(repr=False)


def read_credentials() -> Credentials:
    """From `ARI_USER`, and `ARI_PASS` or `ARI_PASS_FILE`.

    Raises:
        SettingsError: there is no password.
    """
    env = Environment(os.environ)
    credentials = Credentials(env.text("ARI_USER", "rtp-pool"), env.secret("ARI_PASS"))
    if not credentials.password:
        env.problem("ARI_PASS= : is empty; accepted is the password that the relay is given, here or in ARI_PASS_FILE")
    env.finish()
    return credentials


async def serve(load: Load, stop: Stop) -> None:
    """Serve ARI and place the calls until asked to stop; then all callers hang up.

    Raises:
        SettingsError: no credentials.
        ListenError: the port is taken.
    """
    logs.configure("INFO", "text", sys.stderr)
    credentials = read_credentials()
    async with StandIn(load.host, load.port, credentials.user, credentials.password) as stand_in:
        stand_in.on_end = _log_end
        log.info("Asterisk stand-in serves", extra={"fields": {"url": stand_in.url, "application": load.application}})
        placing = asyncio.create_task(
            place_calls(
                stand_in,
                load.application,
                load.calls,
                load.per_second,
                lambda: stand_in.switchboard.is_registered(load.application),
            )
        )
        await stop.asked.wait()
        placing.cancel()
        await asyncio.gather(placing, return_exceptions=True)
        hang_up_all(stand_in)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                while stand_in.switchboard.channels:  # noqa: ASYNC110 the switchboard knows no event loop
                    await asyncio.sleep(POLL_SECONDS)


def _log_end(call: EndedCall) -> None:
    fields = {"channel": call.channel, "sent": call.sent, "returned": call.returned}
    if call.refused:
        log.warning("a caller was refused", extra={"fields": {"channel": call.channel, "reason": call.refused}})
    else:
        log.info("a caller's call ended", extra={"fields": fields})
