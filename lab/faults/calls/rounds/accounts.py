"""What must hold after a fault, over what the callers, Asterisk's dialplan and the relay have written down. Pure.

Each finding is a sentence; none means that all is well.
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

WHOLE_WITHIN_SECONDS = 5.0
CALLER_LEFT = "callerGone"
OURS = "rtp_"  # what a relay makes in Asterisk begins with it
NAMED = 3
_ENTRY = re.compile(r"^\[(\S+ \S+?)\].*\b(asks|back) call-id=(\S+)(.*)$")
_STAMP = "%Y-%m-%d %H:%M:%S.%f"
_FIELD = re.compile(r"(\w+)=(\S*)")


@dataclass(frozen=True, slots=True)
class Returned:
    """What the dialplan saw of a caller who came back: `stasis` FAILED means that no relay was there.

    `channel` is its state: `Up` once it was answered. `after_milliseconds` since it was handed to the relay.
    """

    stasis: str
    refused: str
    ended: str
    channel: str
    after_milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Dialplan:
    """Callers by SIP Call-ID that reached the dialplan, and those that came back to it from the relay."""

    asked: frozenset[str] = frozenset()
    returned: Mapping[str, Returned] = field(default_factory=dict)


def dialplan_of(log: str) -> Dialplan:
    """Read what the rig's dialplan has logged."""
    asked: dict[str, datetime] = {}
    returned: dict[str, Returned] = {}
    for line in log.splitlines():
        match = _ENTRY.search(line)
        if match is None:
            continue
        stamp, what, call, rest = match.groups()
        at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        if what == "asks":
            asked[call] = at
            continue
        told = dict(_FIELD.findall(rest))
        took = at - asked.get(call, at)
        returned[call] = Returned(
            told.get("stasis", ""),
            told.get("refused", ""),
            told.get("ended", ""),
            told.get("channel", ""),
            round(took.total_seconds() * 1000),
        )
    return Dialplan(frozenset(asked), returned)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One round's writings. `asterisk_died`: calls that it held can't have come back to the dialplan."""

    callers: Outcome
    dialplan: Dialplan
    records: Sequence[Record]
    asterisk_died: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left when all calls have ended. `ports` is `/status`'s block, `bound` UDP ports of the range in use."""

    ports: Mapping[str, int]
    active: int
    bound: Sequence[int]
    channels: Sequence[str]
    bridges: Sequence[str]


def unaccounted(evidence: Evidence) -> list[str]:
    """Calls whose fate nobody wrote down, or of which two tell different stories."""
    callers, returned = evidence.callers, evidence.dialplan.returned
    by_id = Counter(record.sip_call_id for record in evidence.records if record.refused is None)
    ended_by = {record.sip_call_id: record.ended_by for record in evidence.records}
    cut = callers.answered - callers.talked
    missing = {each for each in callers.answered if not by_id[each]}
    # A caller who leaves while the call is still set up has a record that does not know the SIP Call-ID yet.
    nameless = sum(1 for record in evidence.records if record.refused is None and record.sip_call_id is None)
    found = [
        _told("answered, but the relay has no record", missing if len(missing) > nameless else ()),
        _told("recorded more than once", (each for each, times in by_id.items() if each and times > 1)),
        _told(
            "talked to the end, but recorded as cut by the relay",
            (each for each in callers.talked if by_id[each] and ended_by[each] != CALLER_LEFT),
        ),
        _told(
            "neither answered nor given back with a reason",
            (each for each in callers.placed - callers.answered if not _explained(each, evidence)),
        ),
    ]
    if not evidence.asterisk_died:
        found.append(
            _told(
                "cut without a reason in the dialplan",
                (each for each in cut if each not in returned or not returned[each].ended),
            )
        )
    return [each for each in found if each]


def leaked(rest: Rest, total_ports: int) -> list[str]:
    """What should be gone when the last call has ended."""
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
        found.append(f"sockets are still bound to ports {_some(map(str, rest.bound))}")
    if rest.channels:
        found.append(f"Asterisk still has channels {_some(rest.channels)}")
    if rest.bridges:
        found.append(f"Asterisk still has bridges {_some(rest.bridges)}")
    return found


def uncounted(calls: Mapping[str, Any]) -> list[str]:
    """Whether the relay's own counts of calls add up; `calls` is `/status`'s block."""
    parts = {
        "refused": sum(calls["refused"].values()),
        "leftBeforeAnswer": calls["leftBeforeAnswer"],
        "ended": calls["ended"],
        "active": calls["active"],
    }
    found = []
    if calls["arrived"] != sum(parts.values()):
        found.append(f"{calls['arrived']} calls arrived at the relay, its other counts are {parts}")
    if sum(calls["endedBy"].values()) != calls["ended"]:
        found.append(f"{calls['ended']} calls ended by the relay's count, by their reasons {calls['endedBy']}")
    return found


def orphans(channels: Mapping[str, str], bridges: Iterable[str], live_callers: Iterable[str]) -> list[str]:
    """Media channels and bridges of a relay that belong to none of its live calls, and callers that it does not know.

    Args:
        channels: of Asterisk, id to name.
        bridges: of Asterisk.
        live_callers: channel ids of the callers that the relay lists as live.
    """
    live = set(live_callers)
    ours = [each for each in (*channels, *bridges) if each.startswith(OURS)]
    stray = [each for each in ours if not any(caller in each for caller in live)]
    unknown = [each for each in channels if not each.startswith(OURS) and each not in live]
    found = []
    if stray:
        found.append(f"{len(stray)} channels and bridges belong to no call: {_some(stray)}")
    if unknown:
        found.append(f"{len(unknown)} callers are unknown to the relay: {_some(unknown)}")
    return found


def too_slow(seconds: float) -> list[str]:
    """Whether it took too long to be whole again."""
    if seconds <= WHOLE_WITHIN_SECONDS:
        return []
    return [f"whole again after {seconds:.1f} s; accepted are {WHOLE_WITHIN_SECONDS:.0f} s"]


def _explained(call: str, evidence: Evidence) -> bool:
    """A call that was not answered: refused with a reason, turned away without a relay, or died with Asterisk."""
    told = evidence.dialplan.returned.get(call)
    if told is not None:
        return bool(told.refused) or told.stasis == "FAILED" or bool(told.ended)
    return evidence.asterisk_died


def _told(what: str, calls: Iterable[str]) -> str:
    named = sorted(calls)
    return f"{len(named)} calls {what}: {_some(named)}" if named else ""


def _some(names: Iterable[str]) -> str:
    named = list(names)
    return ", ".join(named[:NAMED]) + (", …" if len(named) > NAMED else "")
