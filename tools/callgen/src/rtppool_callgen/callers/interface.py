"""The interface of callers to the load test."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol, Self

from rtppool_callgen.callers.tally import Tally


class CallersFailed(Exception):  # noqa: N818 an outcome, with the reason and a remedy
    """Calls are impossible, from the start or from now on. The message is a sentence."""


class Callers(Protocol):
    """Callers of the stand-in, of Asterisk, or of SIPp. Used as `async with`."""

    async def __aenter__(self) -> Self:
        """Prepare to call.

        Raises:
            CallersFailed: calls are impossible.
        """

    async def __aexit__(self, *_: object) -> None:
        """Release everything that the callers used."""

    async def call(self, stop: asyncio.Event) -> None:
        """Place the calls of the plan, and hang up early when `stop` is set.

        Raises:
            CallersFailed: further calls are impossible.
        """

    def tally(self) -> Tally:
        """Return the counts up to now.

        Raises:
            CallersFailed: the counts can't be read.
        """

    def settings(self) -> Mapping[str, str]:
        """Return the settings for the report, without secrets."""
