"""The state of one simulated relay."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lab.faults.operator.relays.long_poll import LongPoll
from lab.faults.operator.relays.status_server import StatusConnection
from rtppool_core.contract.pools_file import PoolEntry
from rtppool_core.contract.report import Report

Mode = Literal["well", "silent", "garbage", "slow", "old", "refusing", "ended"]


class RelayState(Protocol):
    """The part of a relay that decides whether the product has converged."""

    @property
    def pod(self) -> str:
        """The pod's name."""

    @property
    def node(self) -> str:
        """The node's name."""

    @property
    def mode(self) -> Mode:
        """The relay's fault."""

    @property
    def active_calls(self) -> int:
        """The number of calls."""

    @property
    def echo_reachable(self) -> bool:
        """Whether the echo answers."""

    @property
    def entry(self) -> PoolEntry | None:
        """The pool that the relay runs."""


@dataclass(slots=True, eq=False)
class FakeRelay:
    """A simulated relay: it runs `entry`, last read the text `mounted`, and `revision` is its pod's annotation.

    `polls` counts requests, `answers` the full reports among their answers. `process` is replaced at a new start, and
    `body` is that of the report at a position. Times are monotonic.
    """

    pod: str
    node: str
    address: str
    mode: Mode = "well"
    active_calls: int = 0
    echo_reachable: bool = True
    entry: PoolEntry | None = None
    mounted: str | None = None
    config_error: str | None = None
    revision: str | None = None
    annotated_at_seconds: float = float("-inf")
    read_at_seconds: float = float("-inf")
    uid: str | None = None
    polls: int = 0
    answers: int = 0
    process: LongPoll = field(init=False, repr=False)
    report: Report = field(init=False, repr=False)
    urgent: tuple[Any, ...] = field(default=(), repr=False)
    counts: tuple[Any, ...] = field(default=(), repr=False)
    body: tuple[str, bytes] = field(default=("", b""), repr=False)
    connections: set[StatusConnection] = field(default_factory=set, repr=False)
    renewal: asyncio.TimerHandle | None = field(default=None, repr=False)
