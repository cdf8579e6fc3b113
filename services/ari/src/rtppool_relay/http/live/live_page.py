"""The live page's routes, and its second: figures of calls, probe and ports, published to all watchers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from aiohttp import web

from rtppool_core.net.http_endpoints import Handler, json_response
from rtppool_core.units import NS_PER_SECOND
from rtppool_relay.calls.record import CallRecord
from rtppool_relay.figures.live_seconds import LiveCalls, LiveHistory
from rtppool_relay.figures.measurement import KINDS, Measurement, StreamKind
from rtppool_relay.http.live.documents import call_document, history_document, second_document, state_document
from rtppool_relay.http.live.event_stream import EventStream, encode_event
from rtppool_relay.http.snapshot import Snapshot
from rtppool_relay.ports.call_ports import CallPorts

# The window changes once a second, and a verdict costs some milliseconds.
STATE_EVERY_SECONDS = 2


class CallSource(Protocol):
    """The calls of the relay."""

    def live_records(self) -> Iterator[CallRecord]:
        """Yield the live calls without their figures."""

    def recent_calls(self) -> Sequence[CallRecord]:
        """Return the calls that ended last, newest first."""

    def find_call(self, call: str) -> CallRecord | None:
        """Return a call with its figures; None where there is none."""


@dataclass(slots=True)
class LivePage:
    """Collects a second after each collection of figures. Without watchers it only keeps the history."""

    measurement: Measurement
    call_ports: CallPorts
    calls: CallSource
    snapshot: Callable[[], Snapshot]
    stream: EventStream = field(init=False)
    _histories: dict[StreamKind, LiveHistory] = field(default_factory=lambda: {kind: LiveHistory() for kind in KINDS})
    _tracks: LiveCalls = field(default_factory=LiveCalls)
    _second: int = 0
    _state: bytes = b""
    _state_second: int = 0

    def __post_init__(self) -> None:
        """Make the stream."""
        self.stream = EventStream(self._first_events)

    def routes(self) -> dict[str, Handler]:
        """Return the handlers of `/events` and `/calls/{call}`."""
        return {"/events": self.stream.answer, "/calls/{call}": self._answer_call}

    def tick(self, now_ns: int) -> None:
        """Publish the figures that became known; call it after each collection. `now_ns` is the measurement's clock.

        Within a second of the wall clock it does nothing more.
        """
        at = self.measurement.clock.wall_ns(now_ns) // NS_PER_SECOND
        if at == self._second:
            return
        self._second = at
        for kind, history in self._histories.items():
            history.add(at, self.measurement.kinds[kind].take_latest())
        streams = dict(self.call_ports.live_streams())
        self._tracks.add(at, streams.items())
        if not self.stream.watchers:
            return
        document = second_document(
            at,
            {kind: history.seconds[-1] for kind, history in self._histories.items()},
            self.call_ports.manager,
            self.calls.live_records(),
            {port: stream.added for port, stream in streams.items()},
            self._tracks,
        )
        self.stream.publish(_encode("second", document))
        if at >= self._state_second + STATE_EVERY_SECONDS or at < self._state_second:
            self.stream.publish(self._render_state())

    def _first_events(self) -> bytes:
        ports = [port for port, _ in self.call_ports.live_streams()]
        history = _encode("history", history_document(self._histories, ports, self._tracks))
        is_fresh = self._state and self._second < self._state_second + STATE_EVERY_SECONDS
        return history + (self._state if is_fresh else self._render_state())

    def _render_state(self) -> bytes:
        document = state_document(self.snapshot(), self.calls.recent_calls())
        self._state, self._state_second = _encode("state", document), self._second
        return self._state

    async def _answer_call(self, request: web.Request) -> web.StreamResponse:
        record = self.calls.find_call(request.match_info["call"])
        if record is None:
            return json_response({"error": "no live or recent call has this name; GET /calls lists them"}, 404)
        streams = dict(self.call_ports.live_streams())
        stream = streams.get(record.port) if record.port is not None and record.ended_unix_ms is None else None
        document = call_document(record, stream.total if stream is not None else None, self._tracks)
        response = json_response(msgspec.to_builtins(document))
        response.headers["Cache-Control"] = "no-store"
        return response


def _encode(name: str, document: dict[str, Any]) -> bytes:
    return encode_event(name, msgspec.json.encode(document))
