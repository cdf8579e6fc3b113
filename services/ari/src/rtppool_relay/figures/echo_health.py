"""Whether the echo answers."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_core.units import NS_PER_SECOND

UNREACHABLE_AFTER_NS = 1_500_000_000


# One burst of the probe may be lost: a second one is sent at least so long after it, and has as long to be answered.
AGAIN_AFTER_NS = 500_000_000


FORGOTTEN_AFTER_NS = 5_000_000_000


@dataclass(slots=True)
class EchoHealth:
    """Whether the echo answers, from what was sent and what came back. None: nothing tells.

    It is unreachable after 1.5 s without an answer in which packets were sent twice, half a second apart or more.
    That it does not answer is forgotten after `forgotten_after_ns` without a packet to it, or a relay that has neither
    a probe nor a call would refuse calls for ever.
    """

    reachable: bool | None = None
    forgotten_after_ns: int = FORGOTTEN_AFTER_NS
    _unanswered_since_ns: int | None = None
    _sent_again_at_ns: int | None = None
    _sent_at_ns: int | None = None

    def look(self, sent: int, answered: int, now_ns: int) -> None:
        """Take what was counted since the last look; `now_ns` is monotonic."""
        if answered:
            self.reachable = True
            self._unanswered_since_ns = self._sent_again_at_ns = None
        if sent:
            self._sent_at_ns = now_ns
            if not answered:
                self._note_unanswered(now_ns)
        if self._is_silent(now_ns):
            self.reachable = False
        if self.reachable is False and now_ns - (self._sent_at_ns or 0) >= self.forgotten_after_ns:
            self.restart()

    def _note_unanswered(self, now_ns: int) -> None:
        if self._unanswered_since_ns is None:
            self._unanswered_since_ns = now_ns
        elif self._sent_again_at_ns is None and now_ns - self._unanswered_since_ns >= AGAIN_AFTER_NS:
            self._sent_again_at_ns = now_ns

    def _is_silent(self, now_ns: int) -> bool:
        if self._unanswered_since_ns is None or self._sent_again_at_ns is None:
            return False
        waited_ns = now_ns - self._unanswered_since_ns
        return waited_ns >= UNREACHABLE_AFTER_NS and now_ns - self._sent_again_at_ns >= AGAIN_AFTER_NS

    def expect_bursts(self, interval_seconds: float | None) -> None:
        """The probe sends every so many seconds, or not at all: between two bursts nothing is forgotten."""
        self.forgotten_after_ns = max(FORGOTTEN_AFTER_NS, round(2 * (interval_seconds or 0) * NS_PER_SECOND))

    def restart(self) -> None:
        """Nothing is known, as of another echo."""
        self.reachable = self._unanswered_since_ns = self._sent_again_at_ns = None
