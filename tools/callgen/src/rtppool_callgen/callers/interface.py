"""Who calls in a load test: the stand-in's callers, an Asterisk's own, or SIPp's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, Self

from rtppool_callgen.callers.tally import Tally


class CallersFailed(Exception):  # noqa: N818 an outcome, told with what was seen and what to do
    """Nobody can call, or nobody can any longer; a sentence."""


class Callers(Protocol):
    """Used as `async with`; makes ready what they need, and takes it away."""

    async def __aenter__(self) -> Self:
        """Make ready to call.

        Raises:
            CallersFailed: they can't.
        """

    async def __aexit__(self, *_: object) -> None:
        """All are gone."""

    async def call(self, stop: asyncio.Event) -> None:
        """Call by the plan that they were made with; when asked to stop, hang up and return.

        Raises:
            CallersFailed: nobody can call any longer.
        """

    def tally(self) -> Tally:
        """Their account up to now.

        Raises:
            CallersFailed: it can't be read.
        """

    def settings(self) -> Mapping[str, str]:
        """What a report says of them; nothing secret."""
