"""The invariants after a fault, checked over the records of callers, Asterisk's dialplan and the relay.

Each violation is a finding, one sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lab.faults.calls.rig.callers import Outcome
from lab.faults.calls.rig.relay import Record

RECOVERY_BOUND_SECONDS = 5.0
CALLER_LEFT = "callerGone"
OURS = "rtp_"  # prefix of a relay's channels and bridges in Asterisk
MAX_NAMED = 3
_ENTRY = re.compile(r"^\[(\S+ \S+?)\].*\b(asks|back) call-id=(\S+)(.*)$")
_STAMP = "%Y-%m-%d %H:%M:%S.%f"
_FIELD = re.compile(r"(\w+)=(\S*)")


@dataclass(frozen=True, slots=True)
class Returned:
    """A caller that returned to the dialplan. `stasis` is FAILED without a relay.

    `channel` is the channel's state: `Up` once it was answered. `after_milliseconds` run from its entry into Stasis.
    """

    stasis: str
    refused: str
    ended: str
    channel: str
    after_milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Dialplan:
    """The SIP Call-IDs of callers that reached the dialplan, and of those that returned to it from the relay."""

    asked: frozenset[str] = frozenset()
    returned: Mapping[str, Returned] = field(default_factory=dict)


def dialplan_of(log: str) -> Dialplan:
    """Parse the log of the rig's dialplan."""
    asked: dict[str, datetime] = {}
    returned: dict[str, Returned] = {}
    for line in log.splitlines():
        match = _ENTRY.search(line)
        if match is None:
            continue
        stamp, event, call, rest = match.groups()
        at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        if event == "asks":
            asked[call] = at
            continue
        fields = dict(_FIELD.findall(rest))
        took = at - asked.get(call, at)
        returned[call] = Returned(
            fields.get("stasis", ""),
            fields.get("refused", ""),
            fields.get("ended", ""),
            fields.get("channel", ""),
            round(took.total_seconds() * 1000),
        )
    return Dialplan(frozenset(asked), returned)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The records of one round. After `asterisk_died`, its calls cannot return to the dialplan."""

    callers: Outcome
    dialplan: Dialplan
    records: Sequence[Record]
    asterisk_died: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """The left-overs after the end of all calls. `ports` is the block of `/status`, `bound` the bound UDP ports."""

    ports: Mapping[str, int]
    active: int
    bound: Sequence[int]
    channels: Sequence[str]
    bridges: Sequence[str]


def unaccounted(evidence: Evidence) -> list[str]:
    """Return findings on calls without a recorded end, or with contradictory records."""
    callers, returned = evidence.callers, evidence.dialplan.returned
    by_id = Counter(record.sip_call_id for record in evidence.records if record.refused is None)
    ended_by = {record.sip_call_id: record.ended_by for record in evidence.records}
    cut = callers.answered - callers.talked
    missing = {each for each in callers.answered if not by_id[each]}
    # A caller that leaves during set-up has a record without a SIP Call-ID.
    nameless = sum(1 for record in evidence.records if record.refused is None and record.sip_call_id is None)
    found = [
        _finding("answered, but the relay has no record", missing if len(missing) > nameless else ()),
        _finding("recorded more than once", (each for each, times in by_id.items() if each and times > 1)),
        _finding(
            "talked to the end, but recorded as cut by the relay",
            (each for each in callers.talked if by_id[each] and ended_by[each] != CALLER_LEFT),
        ),
        _finding(
            "neither answered nor returned with a reason",
            (each for each in callers.placed - callers.answered if not _explained(each, evidence)),
        ),
    ]
    if not evidence.asterisk_died:
        found.append(
            _finding(
                "cut without a reason in the dialplan",
                (each for each in cut if each not in returned or not returned[each].ended),
            )
        )
    return [each for each in found if each]


def leaked(rest: Rest, total_ports: int) -> list[str]:
    """Return findings on resources that outlive the last call."""
    ports = rest.ports
    held = {"free", "leased", "resting", "quarantined"}
    found = []
    if ports["leased"]:
        found.append(f"{ports['leased']} ports are still leased")
    if ports["quarantined"]:
        found.append(f"{ports['quarantined']} ports are quarantined")
    if sum(ports[name] for name in held) != total_ports or ports["total"] != total_ports:
        found.append(f"ports do not add up to {total_ports}: {dict(ports)}")
    if rest.active:
        found.append(f"the relay still counts {rest.active} calls")
    if rest.bound:
        found.append(f"sockets are still bound to ports {_abbreviated(map(str, rest.bound))}")
    if rest.channels:
        found.append(f"Asterisk still has channels {_abbreviated(rest.channels)}")
    if rest.bridges:
        found.append(f"Asterisk still has bridges {_abbreviated(rest.bridges)}")
    return found


def uncounted(calls: Mapping[str, Any]) -> list[str]:
    """Return findings on counts of calls that do not add up; `calls` is the block of `/status`."""
    parts = {
        "refused": sum(calls["refused"].values()),
        "leftBeforeAnswer": calls["leftBeforeAnswer"],
        "ended": calls["ended"],
        "active": calls["active"],
    }
    found = []
    if calls["arrived"] != sum(parts.values()):
        found.append(f"{calls['arrived']} calls arrived at the relay, the other counts are {parts}")
    if sum(calls["endedBy"].values()) != calls["ended"]:
        found.append(f"{calls['ended']} calls ended by the relay's count, by their reasons {calls['endedBy']}")
    return found


def orphans(channels: Mapping[str, str], bridges: Iterable[str], live_callers: Iterable[str]) -> list[str]:
    """Return findings on a relay's channels and bridges without a live call, and on callers unknown to the relay.

    Args:
        channels: names of Asterisk's channels by id.
        bridges: ids of Asterisk's bridges.
        live_callers: channel ids of the callers that the relay lists as live.
    """
    live = set(live_callers)
    ours = [each for each in (*channels, *bridges) if each.startswith(OURS)]
    stray = [each for each in ours if not any(caller in each for caller in live)]
    unknown = [each for each in channels if not each.startswith(OURS) and each not in live]
    found = []
    if stray:
        found.append(f"{len(stray)} channels and bridges belong to no call: {_abbreviated(stray)}")
    if unknown:
        found.append(f"{len(unknown)} callers are unknown to the relay: {_abbreviated(unknown)}")
    return found


def too_slow(seconds: float) -> list[str]:
    """Return a finding on a recovery that took too long."""
    if seconds <= RECOVERY_BOUND_SECONDS:
        return []
    return [f"recovered after {seconds:.1f} s; accepted are {RECOVERY_BOUND_SECONDS:.0f} s"]


def _explained(call: str, evidence: Evidence) -> bool:
    """Return whether an unanswered call was refused with a reason, met no relay, or ended with Asterisk."""
    returned = evidence.dialplan.returned.get(call)
    if returned is not None:
        return bool(returned.refused) or returned.stasis == "FAILED" or bool(returned.ended)
    return evidence.asterisk_died


def _finding(problem: str, calls: Iterable[str]) -> str:
    named = sorted(calls)
    return f"{len(named)} calls {problem}: {_abbreviated(named)}" if named else ""


def _abbreviated(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named[:MAX_NAMED]) + (", …" if len(named) > MAX_NAMED else "")
