"""Whether the echo answers."""

from __future__ import annotations

from dataclasses import dataclass

from rtppool_core.units import NS_PER_SECOND

UNREACHABLE_AFTER_NS = 1_500_000_000
# One burst of the probe may be lost: the next is sent at least this much later, and has as long for its answers.
AGAIN_AFTER_NS = 500_000_000
FORGOTTEN_AFTER_NS = 5_000_000_000


@dataclass(slots=True)
class EchoHealth:
    """Whether the echo answers, from packets sent and returned. `reachable` is None while unknown.

    It is unreachable after 1.5 s without an answer to packets sent at least twice, half a second apart. After
    `forgotten_after_ns` without a packet to it, it is unknown again: a relay without probe and calls would otherwise
    refuse calls forever.
    """

    reachable: bool | None = None
    forgotten_after_ns: int = FORGOTTEN_AFTER_NS
    _unanswered_since_ns: int | None = None
    _sent_again_at_ns: int | None = None
    _sent_at_ns: int | None = None

    def update(self, sent: int, answered: int, now_ns: int) -> None:
        """Add the counts since the last update. `now_ns` is monotonic."""
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
        """Set the probe's interval (None: no probe), so that nothing is forgotten between two bursts."""
        self.forgotten_after_ns = max(FORGOTTEN_AFTER_NS, round(2 * (interval_seconds or 0) * NS_PER_SECOND))

    def restart(self) -> None:
        """Forget all, as for another echo."""
        self.reachable = self._unanswered_since_ns = self._sent_again_at_ns = None
