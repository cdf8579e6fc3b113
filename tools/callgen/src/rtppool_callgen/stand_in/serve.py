"""`python -m rtppool_callgen serve`: the stand-in as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rtppool_callgen.plan.caller_events import CallerEvent, to_line
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_callgen.stand_in.phone import call_on_stand_in
from rtppool_callgen.stand_in.stand_in import EndedCall, StandIn
from rtppool_callgen.stand_in.steady_callers import hang_up_all, place_calls
from rtppool_core.process import logs
from rtppool_core.process.service import Stop
from rtppool_core.process.settings import Environment

log = logging.getLogger(__name__)

# So long a relay may take to tear down the calls of callers who hung up at the end.
FAREWELL_SECONDS = 2.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Serving:
    """What the command line asks for. With a plan callers come and go by it; without one `calls` arrive and stay.

    `events` is a file to which each call's fate is written, a line of JSON each.
    """

    host: str
    port: int
    application: str
    calls: int
    per_second: float
    plan: LoadPlan | None = None
    events: Path | None = None


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


async def serve(serving: Serving, stop: Stop) -> None:
    """Serve ARI and place the calls until asked to stop; then all callers hang up.

    Raises:
        SettingsError: no credentials.
        ListenError: the port is taken.
    """
    logs.configure("INFO", "text", sys.stderr)
    credentials = read_credentials()
    async with StandIn(serving.host, serving.port, credentials.user, credentials.password) as stand_in:
        stand_in.on_end = _log_end
        fields = {"url": stand_in.url, "application": serving.application}
        log.info("Asterisk stand-in serves", extra={"fields": fields})
        with _told(serving.events) as tell:
            async with asyncio.TaskGroup() as tasks:
                placing = tasks.create_task(_place(stand_in, serving, stop, tell))
                await stop.asked.wait()
                # By a plan it ends by itself, and has the ends of its calls to tell.
                if serving.plan is None:
                    placing.cancel()
        hang_up_all(stand_in)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                while stand_in.switchboard.channels:  # noqa: ASYNC110 the switchboard knows no event loop
                    await asyncio.sleep(POLL_SECONDS)


async def _place(stand_in: StandIn, serving: Serving, stop: Stop, tell: Callable[[CallerEvent], None]) -> None:
    if serving.plan is not None:
        await call_on_stand_in(stand_in, serving.application, serving.plan, stop.asked, tell)
        return
    await place_calls(
        stand_in,
        serving.application,
        serving.calls,
        serving.per_second,
        lambda: stand_in.switchboard.is_registered(serving.application),
    )


@contextlib.contextmanager
def _told(events: Path | None) -> Iterator[Callable[[CallerEvent], None]]:
    """A file that whoever counts reads along: each line is there as soon as it is told."""
    if events is None:
        yield lambda _event: None
        return
    with events.open("w", encoding="utf-8", buffering=1) as file:

        def tell(event: CallerEvent) -> None:
            file.write(to_line(event))

        yield tell


def _log_end(call: EndedCall) -> None:
    fields = {"channel": call.channel, "sent": call.sent, "returned": call.returned}
    if call.refused:
        log.warning("a caller was refused", extra={"fields": {"channel": call.channel, "reason": call.refused}})
    else:
        log.info("a caller's call ended", extra={"fields": fields})
