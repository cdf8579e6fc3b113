"""Leak detection over repeated audits.

A lease without an owner in two consecutive audits is a leak; a single audit may race with call set-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

# Longer than a call takes to open or close: a media process answers within 2 s or its command fails.
MIN_SUSPECTED_SECONDS = 5.0

Resource = TypeVar("Resource")


class LeakSuspects(Generic[Resource]):
    """Resources without an owner, each with the time of the audit that first reported it.

    A resource must identify one use: a port that is leased again is another resource.
    """

    def __init__(self) -> None:
        self._since_seconds: dict[Resource, float] = {}

    def observe(self, now_seconds: float, ownerless: Iterable[Resource]) -> tuple[Resource, ...]:
        """Return those that were ownerless in every audit of the last `MIN_SUSPECTED_SECONDS`, each once."""
        before = self._since_seconds
        self._since_seconds = {each: before.get(each, now_seconds) for each in ownerless}
        leaked = tuple(
            each
            for each, since in self._since_seconds.items()
            if each in before and now_seconds - since >= MIN_SUSPECTED_SECONDS
        )
        for each in leaked:
            del self._since_seconds[each]
        return leaked
