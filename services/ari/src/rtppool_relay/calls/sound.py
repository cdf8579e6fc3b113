"""Whether a call's media flows, from what was sent to the echo and what went back to Asterisk. Pure.

The counts are looked at every second or so. A packet's row is counted when it is written, its answer when it came, so
that silence of the echo shows at once, though the row of an unanswered packet is settled only after 2.5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rtppool_relay.streams.flow import MediaFlow

# Callers' devices send within a second of being answered; a hold, or silence suppression, may pause for long.
SILENT_AFTER_SECONDS = 5.0
STOPPED_AFTER_SECONDS = 10.0
# Longer than any answer may take, and than an echo's restart should.
ONE_WAY_AFTER_SECONDS = 3.0
# One packet lost in silence suppression says nothing.
ONE_WAY_PACKETS = 10


class MediaState(Enum):
    """What a listener would say of the call."""

    WAITING = "waiting"  # no packet yet, and that is no wonder
    FLOWING = "flowing"
    SILENT = "silent"  # no packet ever came from Asterisk
    STOPPED = "stopped"  # packets came and come no more: hold, silence suppression, or a caller who is gone
    ONE_WAY = "oneWay"  # packets come from Asterisk and nothing goes back


@dataclass(slots=True)
class MediaTrack:
    """One call's media since `since_seconds`, when it was connected; all times are monotonic seconds.

    A state is left at once when packets flow again, and entered only when it has lasted.
    """

    since_seconds: float
    _sent: int = 0
    _returned: int = 0
    _sent_at_return: int = 0
    _last_sent_seconds: float | None = None
    _unanswered_since_seconds: float | None = None

    def look(self, flow: MediaFlow, now_seconds: float) -> MediaState:
        """The state, with the counts as they are now."""
        if flow.sent_to_echo > self._sent:
            self._last_sent_seconds = now_seconds
            if self._unanswered_since_seconds is None:
                self._unanswered_since_seconds = now_seconds
        if flow.returned > self._returned:
            self._unanswered_since_seconds, self._sent_at_return = None, flow.sent_to_echo
        self._sent, self._returned = flow.sent_to_echo, flow.returned
        return self._state(now_seconds)

    def _state(self, now_seconds: float) -> MediaState:
        if self._last_sent_seconds is None:
            waited = now_seconds - self.since_seconds
            return MediaState.SILENT if waited >= SILENT_AFTER_SECONDS else MediaState.WAITING
        if now_seconds - self._last_sent_seconds >= STOPPED_AFTER_SECONDS:
            return MediaState.STOPPED
        return MediaState.ONE_WAY if self._nothing_returns(now_seconds) else MediaState.FLOWING

    def _nothing_returns(self, now_seconds: float) -> bool:
        since = self._unanswered_since_seconds
        lasted = since is not None and now_seconds - since >= ONE_WAY_AFTER_SECONDS
        return lasted and self._sent - self._sent_at_return >= ONE_WAY_PACKETS
