"""Calls of SIPp: real SIP and RTP into a real Asterisk. SIPp itself keeps to the plan and counts."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import IO, Self
from urllib.parse import urlsplit

from rtppool_callgen.callers.asterisk_client import AsteriskClient
from rtppool_callgen.callers.interface import CallersFailed
from rtppool_callgen.callers.sipp_statistics import StatisticsError, tally_of
from rtppool_callgen.callers.tally import Tally
from rtppool_callgen.plan.caller_events import Over
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_callgen.stand_in.rtp_source import TONE
from rtppool_core.net.hosts import RESOLVER_ERRORS
from rtppool_core.net.udp import family_of

SIP_PORT = 5060
SERVICE = "1000"
SCENARIO, TONE_FILE, STATISTICS, OUTPUT = "call.xml", "tone.ul", "sipp.csv", "sipp.log"
# SIPp repeats the file. One second is a whole number of packets and of waves.
TONE_PACKETS = 50
POLL_SECONDS = 0.2
# A BYE without an answer is repeated for 32 s (RFC 3261 timer F).
BYE_SECONDS = 40.0
ABORT_SECONDS = 5.0
# The plan has no time for set-up and teardown, so SIPp is behind it at the end.
SLOW_SECONDS = 20.0
# SIPp's reference, «Exit codes»: all calls succeeded, some failed, none were made.
EXIT_CODES = (0, 1, 99)
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class SippSettings:
    """Options of SIPp. `program` is a command with the arguments that precede SIPp's own.

    The default scenario is the package's: INVITE, a tone in µ-law for the length of the call, BYE. In another scenario
    a `<pause/>` without milliseconds lasts as long as the call, and `tone.ul` in SIPp's folder is the tone.
    """

    target: str
    scenario: Path | None = None
    program: tuple[str, ...] = ("sipp",)
    arguments: tuple[str, ...] = ()


class SippCallers:
    """Runs SIPp in `folder`. With `asterisk`, objects that relays left behind are counted."""

    def __init__(
        self, plan: LoadPlan, settings: SippSettings, folder: Path, asterisk: AsteriskClient | None = None
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._folder = folder
        self._asterisk = asterisk
        self._before: frozenset[str] = frozenset()
        self._left = Over()
        self._process: asyncio.subprocess.Process | None = None
        self._output: IO[bytes] | None = None
        self._over = False
        self._failed_before_stop: dict[str, int] | None = None

    async def __aenter__(self) -> Self:
        """See `Callers.__aenter__`. SIPp itself starts with `call`."""
        program = shutil.which(self._settings.program[0])
        if program is None:
            raise CallersFailed(
                f"{self._settings.program[0]} is not on the PATH; install SIPp (Debian: sip-tester), or give its "
                "path with --sipp"
            )
        scenario = self._settings.scenario
        if scenario is not None and not scenario.is_file():
            raise CallersFailed(f"--scenario {scenario}: there is no such file")
        (self._folder / TONE_FILE).write_bytes(TONE * TONE_PACKETS)
        # In the folder of the tone, so that a SIPp in a container needs one folder only.
        source = scenario if scenario is not None else files("rtppool_callgen").joinpath(SCENARIO)
        (self._folder / SCENARIO).write_bytes(source.read_bytes())
        if self._asterisk is not None:
            await self._asterisk.__aenter__()
            try:
                self._before = await self._asterisk.relay_objects()
            except CallersFailed:
                await self._asterisk.__aexit__()
                raise
        self._output = (self._folder / OUTPUT).open("wb")
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `Callers.__aexit__`."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._output is not None:
            self._output.close()
        if self._asterisk is not None:
            await self._asterisk.__aexit__()

    async def call(self, stop: asyncio.Event) -> None:
        """See `Callers.call`."""
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command(),
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        ends = asyncio.create_task(process.wait())
        try:
            await self._wait(ends, stop, self._plan.last_arrival_seconds + SLOW_SECONDS)
            if not ends.done():
                # SIPp places no more calls and ends after the last one (its reference, «Running SIPp in background»).
                process.send_signal(signal.SIGUSR1)
                if not stop.is_set():
                    await self._wait(ends, stop, self._plan.call_seconds + BYE_SECONDS)
            if not ends.done():
                await self._abort(process, ends)
            elif process.returncode not in EXIT_CODES:
                raise CallersFailed(self._failure(process.returncode))
        finally:
            ends.cancel()
        if self._asterisk is not None:
            self._left = await self._asterisk.left_behind(self._before)
        self._over = True

    def tally(self) -> Tally:
        """See `Callers.tally`. SIPp does not count received packets."""
        try:
            with (self._folder / STATISTICS).open(encoding="utf-8", errors="replace") as file:
                tally = tally_of(file, over=self._over)
        except FileNotFoundError:
            return Tally(over=self._over, knows_refusals=False)
        except StatisticsError as error:
            raise CallersFailed(str(error)) from error
        tally.channels_left, tally.bridges_left = self._left.channels_left, self._left.bridges_left
        if self._failed_before_stop is None:
            return tally
        # SIPp counts calls that were aborted on request as failures.
        failed = self._failed_before_stop
        interrupted = max(0, tally.placed - tally.completed - sum(failed.values()))
        return replace(tally, failed=failed, interrupted=interrupted)

    def settings(self) -> Mapping[str, str]:
        """See `Callers.settings`."""
        scenario = self._settings.scenario
        return {
            "kind": "sipp",
            "target": self._settings.target,
            "scenario": str(scenario.name) if scenario else "the package's",
            "arguments": " ".join(self._settings.arguments),
        }

    def _command(self) -> Sequence[str]:
        host, port = host_and_port(self._settings.target)
        local = source_address(host, port)
        plan = self._plan
        # SIPp takes whole numbers only: calls in ten seconds.
        rate = ("-r", str(max(1, round(plan.per_second * 10))), "-rp", "10000")
        return [
            *self._settings.program,
            *("-sf", SCENARIO, "-s", SERVICE, self._settings.target),
            *("-i", local, "-mi", local),
            *("-m", str(plan.calls), "-l", str(plan.concurrent), *rate),
            *("-d", str(round(plan.call_seconds * 1000))),
            *("-trace_stat", "-stf", STATISTICS, "-fd", "1", "-nostdin"),
            *self._settings.arguments,
        ]

    async def _wait(self, ends: asyncio.Task[int], stop: asyncio.Event, seconds: float) -> None:
        """Wait for SIPp's end or for `stop`, at most `seconds`."""
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ends, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _abort(self, process: asyncio.subprocess.Process, ends: asyncio.Task[int]) -> None:
        """Send the second SIGUSR1, on which SIPp ends its calls with BYE or CANCEL."""
        self._failed_before_stop = self.tally().failed
        process.send_signal(signal.SIGUSR1)
        await asyncio.wait({ends}, timeout=ABORT_SECONDS)

    def _failure(self, code: int | None) -> str:
        log = (self._folder / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line for line in log if line.strip()][-LAST_LINES:]
        return "\n  ".join([f"SIPp ended with exit code {code}:", *lines])


def host_and_port(target: str) -> tuple[str, int]:
    """Parse `host`, `host:port` or `[address]:port`.

    Raises:
        CallersFailed: the target has another form.
    """
    try:
        parts = urlsplit(f"//{target}")
        if parts.hostname and parts.username is None and parts.path == "":
            return parts.hostname, parts.port or SIP_PORT
    except ValueError:
        pass
    raise CallersFailed(f"--sip-target {target!r}; accepted is host:port, or [address]:port")


def source_address(host: str, port: int) -> str:
    """Return the local address of the route to a host.

    Raises:
        CallersFailed: there is no route, or no such host.
    """
    try:
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0])
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
            return str(probe.getsockname()[0])
    except RESOLVER_ERRORS as error:
        raise CallersFailed(f"--sip-target {host}:{port} can't be reached: {error}") from error
