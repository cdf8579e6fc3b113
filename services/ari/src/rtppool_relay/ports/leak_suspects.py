"""What belongs to nobody in two looks in a row is leaked; what was only on its way is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

# Longer than a call is opened or closed: a media process answers within 2 s or is given up.
LEAKED_AFTER_SECONDS = 5.0

Held = TypeVar("Held")


class LeakSuspects(Generic[Held]):
    """Remembers since when each thing has belonged to nobody. The things must tell two uses of one number apart."""

    def __init__(self) -> None:
        self._since_seconds: dict[Held, float] = {}

    def look(self, now_seconds: float, nobodys: Iterable[Held]) -> tuple[Held, ...]:
        """Those of `nobodys` that were nobody's in every look of the last `LEAKED_AFTER_SECONDS`; each is told once."""
        before = self._since_seconds
        self._since_seconds = {each: before.get(each, now_seconds) for each in nobodys}
        leaked = tuple(
            each
            for each, since in self._since_seconds.items()
            if each in before and now_seconds - since >= LEAKED_AFTER_SECONDS
        )
        for each in leaked:
            del self._since_seconds[each]
        return leaked
