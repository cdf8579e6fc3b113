"""Ancillary data of answers, cached by the ancillary data of their questions, which rarely changes.

The kernel writes control messages of the same kinds and lengths for every datagram of a socket. The lengths in a slot's
header therefore stay correct without a reset for each datagram. They are checked when the messages change.
"""

from __future__ import annotations

from rtppool_echo.messages.ancillary import build_answer, pack_items
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.rules.refusals import REASON_DESTINATION

# One entry for each destination, TOS and hop limit. A sender that varies them must not fill the memory.
MAX_CACHED = 1_024


class AnswerAncillary:
    """`current[at]` is the ancillary data of the question that the answer in slot `at` is prepared for."""

    def __init__(self, memory: DatagramMemory, dscp: int | None) -> None:
        self.current = [b""] * MAX_DATAGRAMS
        self._memory = memory
        self._dscp = dscp
        # The answer's ancillary data, or the reason to refuse the question.
        self._cached: dict[bytes, bytes | str] = {}

    def __len__(self) -> int:
        """Return the number of cached answers."""
        return len(self._cached)

    def refusal(self, at: int, received: bytes) -> str | None:
        """Prepare the answer in slot `at` to a question with this ancillary data, or return the reason to refuse it."""
        if not self._memory.control_is_whole(at):
            self._memory.reset(at)
            return REASON_DESTINATION
        answer = self._cached.get(received)
        if answer is None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            made = build_answer(self._memory.received_items(at), self._dscp)
            answer = self._cached[received] = made if isinstance(made, str) else pack_items(made)
        if isinstance(answer, str):
            return answer
        self._memory.put_ancillary(at, answer)
        self.current[at] = received
        return None
