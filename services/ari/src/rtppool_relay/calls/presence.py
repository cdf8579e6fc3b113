"""The channels in this relay's application, as the events of one connection show them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

# A list that still names a channel may have been requested before the channel left.
REMEMBER_LEFT_SECONDS = 30.0


class Presence:
    """While connected, a channel is in the application from its StasisStart to its StasisEnd.

    `examined` are channels that a comparison has left alone. They cause no further comparison.
    """

    def __init__(self) -> None:
        self.examined: AbstractSet[str] = frozenset()
        self._entered: set[str] = set()
        self._left_at_seconds: dict[str, float] = {}

    @property
    def entered(self) -> AbstractSet[str]:
        """The channels that entered and have not left."""
        return self._entered

    @property
    def left(self) -> AbstractSet[str]:
        """The channels that have left."""
        return self._left_at_seconds.keys()

    def enter(self, channel: str) -> None:
        """Note a StasisStart."""
        self._entered.add(channel)
        self._left_at_seconds.pop(channel, None)

    def leave(self, channel: str, now_seconds: float) -> None:
        """Note a StasisEnd, or a comparison that found the channel gone."""
        self._entered.discard(channel)
        self._left_at_seconds[channel] = now_seconds

    def forget(self) -> None:
        """Forget all events: with a new connection, later ones may have been lost."""
        self.examined = frozenset()
        self._entered.clear()
        self._left_at_seconds.clear()

    def prune(self, listed: AbstractSet[str], now_seconds: float) -> None:
        """Forget the channels that left long ago and are not listed."""
        self._left_at_seconds = {
            channel: left_at
            for channel, left_at in self._left_at_seconds.items()
            if channel in listed or now_seconds - left_at < REMEMBER_LEFT_SECONDS
        }
