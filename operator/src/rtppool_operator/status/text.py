"""Texts of a status: limits for text from relays, and the host's share of late packets in words.

A faulty relay must not make a pool's status unwritable. A message has no figure that changes by itself. The words of
the host's share change with it, and the write policy writes such a change no sooner than a figure's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rtppool_operator.relays.observed import PoolObservation

MAX_NAMES = 3
INTRODUCTION = "; host: "
MAX_CHARACTERS = 500


def shorten(text: str | None, longest: int = MAX_CHARACTERS) -> str:
    """Cut a text to `longest` characters; return `no reason given` for none."""
    if not text:
        return "no reason given"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def join_distinct(values: Iterable[str], most: int) -> str:
    """Join up to `most` distinct values in order, and append the number of the others: `a,b,+3 more`."""
    distinct = sorted(set(values))
    more = len(distinct) - most
    return ",".join([*distinct[:most], *([f"+{more} more"] if more > 0 else [])])


def join_first(names: Sequence[str], separator: str = "; ") -> str:
    """Join the first three names, and append the number of the others."""
    more = len(names) - MAX_NAMES
    return separator.join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def describe_host_share(observation: PoolObservation) -> str:
    """Return a clause for the message; empty where no relay of the pool has packets late by the host."""
    reports = [report for _, report in observation.serving]
    late = [report.windows.calls.late for report in reports if report.windows.calls is not None]
    by_host, here = sum(each.host or 0 for each in late), sum(each.here for each in late)
    if not by_host:
        return ""
    share = "all" if by_host == here else "most" if 2 * by_host > here else "some"
    hosts = [report.host for report in reports if report.host is not None]
    takers = {
        "the hypervisor took processor time": any(host.stolen_milliseconds for host in hosts),
        "a CPU limit of the relay's container held it back": any(host.throttled_milliseconds for host in hosts),
    }
    taken = " and ".join(taker for taker, took in takers.items() if took)
    because = f", because {taken}" if taken else ""
    return f"{INTRODUCTION}it made {share} of the late packets late{because}; see status.host"


def without_host_share(message: str) -> str:
    """Return a message without that clause."""
    return message.partition(INTRODUCTION)[0]
