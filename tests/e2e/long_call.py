"""A call that outlasts an event on the cluster, and its record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kube import Kube, wait_for
from phones import CallerCapture, Phones, end_of_call, start_call

ENDS_WITHIN_SECONDS = 40


@dataclass(slots=True)
class LongCall:
    """`live` is the relay's entry at the start. `caller` and `record` are set at the end."""

    live: dict[str, Any]
    caller: CallerCapture | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def assert_whole(self) -> None:
        """Assert that every packet was answered and that at least 99 % reached the caller before the hang-up."""
        if self.caller is None:
            raise AssertionError("the call has not ended")
        figures = self.record["figures"]
        assert self.record["endedBy"] == "callerGone", self.record
        assert figures["lost"] == 0, figures
        assert self.record["port"] == self.live["port"], self.record
        assert len(self.caller.received) >= len(self.caller.sent) * 0.99, (
            f"{len(self.caller.received)} of {len(self.caller.sent)} packets came back"
        )


@contextmanager
def long_call(kube: Kube, phones: Phones, seconds: int) -> Iterator[LongCall]:
    """Place a call of `seconds`. The end of the block waits for the hang-up."""
    before = len(kube.relay_json(phones.node, "/calls")["recent"])
    start_call(kube, seconds)
    call = LongCall(wait_for(lambda: talking(kube, phones.node), "the relay lists the call as talking", 20))
    yield call
    call.caller = end_of_call(kube, seconds + ENDS_WITHIN_SECONDS)
    call.record = wait_for(lambda: ended(kube, phones.node, before), "the call's record", 20)


def talking(kube: Kube, node: str) -> dict[str, Any] | None:
    """Return the live call with packets at the relay on `node`."""
    calls = kube.relay_json(node, "/calls")["live"]
    return next((call for call in calls if call["state"] == "talking" and call["figures"]["packets"] > 0), None)


def ended(kube: Kube, node: str, before: int) -> dict[str, Any] | None:
    """Return the record of the latest call once the relay has more than `before` records."""
    recent = kube.relay_json(node, "/calls")["recent"]
    return dict(recent[0]) if len(recent) > before else None
