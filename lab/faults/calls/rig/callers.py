"""SIPp as the callers: it places calls that talk, and logs the outcome of each by its SIP Call-ID."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.base.processes import Process
from lab.faults.calls.places import CALLER_SIP_PORTS, FIRST_CALLER_SIP_PORT, SCENARIOS, SIP_PORT
from lab.faults.calls.rig.recordings import recordings
from lab.faults.calls.rig.rooted import WORK, rooted

VOICE = "voice.ul"
VOICE_BYTES = 16_000  # 2 s of µ-law, repeated
CALLED = "1000"
_LOG_LINE = re.compile(r"\b(placed|answered|talked|refused) (\S+)\s*$")
_GRACE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """Call-IDs by outcome: placed, answered, talked to their planned end, or refused before an answer."""

    placed: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()
    talked: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()

    def with_other(self, other: Outcome) -> Outcome:
        """Return both together."""
        return Outcome(
            self.placed | other.placed,
            self.answered | other.answered,
            self.talked | other.talked,
            self.refused | other.refused,
        )


def outcome_of(log: str) -> Outcome:
    """Parse the log that the scenarios write with their `log` actions."""
    found: dict[str, set[str]] = {"placed": set(), "answered": set(), "talked": set(), "refused": set()}
    for line in log.splitlines():
        if match := _LOG_LINE.search(line):
            found[match[1]].add(match[2])
    return Outcome(**{name: frozenset(ids) for name, ids in found.items()})


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan of `calls` in total, at most `at_once` at a time, `per_second` new ones, each `seconds` long.

    `called` is the extension. The relay serves numbers.
    """

    name: str
    calls: int
    seconds: float
    rtp_port: int
    per_second: float = 25
    at_once: int | None = None
    scenario: str = "hold"
    called: str = CALLED


class Callers:
    """SIPp processes below `root`, each in a folder of its own in `folder`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._ports = itertools.cycle(range(FIRST_CALLER_SIP_PORT, FIRST_CALLER_SIP_PORT + CALLER_SIP_PORTS))

    @asynccontextmanager
    async def calling(self, plan: Plan) -> AsyncIterator[Calling]:
        """Place the calls of the plan; calls that outlast the block are stopped."""
        folder = self._folder / plan.name
        folder.mkdir()
        (folder / VOICE).write_bytes(os.urandom(VOICE_BYTES))
        for path in SCENARIOS.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for name, recording in recordings().items():
            (folder / name).write_bytes(recording)
        command = rooted(self._root, folder, _arguments(plan, next(self._ports)))
        variables = {"PATH": os.environ["PATH"], "TERM": "dumb"}
        calling = Calling(plan, Process("SIPp", command, variables, folder / "sipp.out"), folder)
        try:
            yield calling
        finally:
            await calling.stop()


class Calling:
    """A running SIPp."""

    def __init__(self, plan: Plan, process: Process, folder: Path) -> None:
        self.plan = plan
        self._process = process
        self._folder = folder

    def outcome(self) -> Outcome:
        """Return the outcome of the calls so far."""
        log = self._folder / "sipp.log"
        return outcome_of(log.read_text(errors="replace")) if log.exists() else Outcome()

    async def finish(self, within_seconds: float) -> Outcome:
        """Wait until all calls have ended.

        Raises:
            LabError: calls outlast the time, or SIPp failed.
        """
        try:
            async with asyncio.timeout(within_seconds):
                code = await self._process.wait()
        except TimeoutError as error:
            raise LabError(
                f"SIPp ({self.plan.name}) still has calls after {within_seconds:.0f} s: {self._folder}"
            ) from error
        if code not in (0, 1):
            raise LabError(f"SIPp ({self.plan.name}) ended with code {code}:\n{self._process.tail()}")
        return self.outcome()

    async def stop(self) -> Outcome:
        """Kill SIPp, as the loss of a caller's machine does; its calls stay in Asterisk."""
        await self._process.kill()
        return self.outcome()


def _arguments(plan: Plan, port: int) -> Sequence[str]:
    at_once = plan.at_once or plan.calls
    return [
        "sipp", f"{LOOPBACK}:{SIP_PORT}", "-sf", str(WORK / f"{plan.scenario}.xml"), "-s", plan.called,
        "-i", LOOPBACK, "-p", str(port), "-mi", LOOPBACK, "-mp", str(plan.rtp_port),
        "-m", str(plan.calls), "-l", str(at_once), "-r", str(max(1, round(plan.per_second * 10))), "-rp", "10000",
        "-d", str(round(plan.seconds * 1000)), "-cid_str", f"%u-{plan.name}", "-nostdin",
        "-trace_logs", "-log_file", str(WORK / "sipp.log"),
        "-trace_err", "-error_file", str(WORK / "sipp.err"), "-trace_stat", "-stf", str(WORK / "sipp.csv"), "-fd", "1",
    ]  # fmt: skip
