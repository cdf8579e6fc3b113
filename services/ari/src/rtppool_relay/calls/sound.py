"""The state of a call's sound, from the packets sent to the echo and the packets returned to Asterisk.

The counts are read about every second. A packet counts when its row is written and its answer when it arrives. So
silence of the echo shows at once, though the row of an unanswered packet is settled only after 2.5 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rtppool_relay.streams.flow import MediaFlow

# Callers' devices send within a second of the answer. A hold or silence suppression may pause for long.
SILENT_AFTER_SECONDS = 5.0
STOPPED_AFTER_SECONDS = 10.0
# Longer than any answer may take, and longer than an echo's restart should.
ONE_WAY_AFTER_SECONDS = 3.0
# A single packet lost in silence suppression is no sign of a one-way call.
ONE_WAY_PACKETS = 10


class SoundState(StrEnum):
    """The sound of a call as its caller hears it."""

    WAITING = "waiting"  # no packet yet, within the time that devices take
    FLOWING = "flowing"
    SILENT = "silent"  # no packet ever came from Asterisk
    STOPPED = "stopped"  # packets came and ceased: hold, silence suppression, or a caller who has left
    ONE_WAY = "oneWay"  # packets come from Asterisk and none goes back


NO_SOUND = {
    SoundState.SILENT: f"no RTP has come from Asterisk for {SILENT_AFTER_SECONDS:.0f} s: the caller sends none, or it "
    "does not reach Asterisk (a firewall, NAT without rtp_symmetric, direct_media), or Asterisk's packets do not reach "
    "this relay (ADVERTISE_IP, NAT or a container network between them)",
    SoundState.ONE_WAY: f"RTP comes from Asterisk, and for {ONE_WAY_AFTER_SECONDS:.0f} s nothing has gone back: the "
    "caller hears nothing. Does the echo answer (echo in /status)?",
}

# Asterisk's packets may come from another address than it announced.
OBSERVED = {SoundState.SILENT, SoundState.STOPPED}


@dataclass(slots=True)
class SoundTrack:
    """The sound of one call since it was connected at `since_seconds`. All times are monotonic seconds.

    Packets end a bad state at once. A bad state begins only when the lack of packets has lasted.
    """

    since_seconds: float
    _sent: int = 0
    _returned: int = 0
    _sent_at_return: int = 0
    _last_sent_seconds: float | None = None
    _unanswered_since_seconds: float | None = None

    def update(self, flow: MediaFlow, now_seconds: float) -> SoundState:
        """Return the state with the counts at this time."""
        if flow.sent_to_echo > self._sent:
            self._last_sent_seconds = now_seconds
            if self._unanswered_since_seconds is None:
                self._unanswered_since_seconds = now_seconds
        if flow.returned > self._returned:
            self._unanswered_since_seconds, self._sent_at_return = None, flow.sent_to_echo
        self._sent, self._returned = flow.sent_to_echo, flow.returned
        return self._state(now_seconds)

    def _state(self, now_seconds: float) -> SoundState:
        if self._last_sent_seconds is None:
            waited = now_seconds - self.since_seconds
            return SoundState.SILENT if waited >= SILENT_AFTER_SECONDS else SoundState.WAITING
        if now_seconds - self._last_sent_seconds >= STOPPED_AFTER_SECONDS:
            return SoundState.STOPPED
        return SoundState.ONE_WAY if self._nothing_returns(now_seconds) else SoundState.FLOWING

    def _nothing_returns(self, now_seconds: float) -> bool:
        since = self._unanswered_since_seconds
        lasted = since is not None and now_seconds - since >= ONE_WAY_AFTER_SECONDS
        return lasted and self._sent - self._sent_at_return >= ONE_WAY_PACKETS
