"""The control messages beside answers, kept by what came beside the questions: they hardly ever change.

The kernel writes the same messages beside every datagram of a socket, so that the lengths that it leaves in a slot's
header are those that it found, and nobody has to reset them. This is checked where the messages change.
"""

from __future__ import annotations

from rtppool_echo.messages.ancillary import for_answer, packed
from rtppool_echo.messages.datagram_memory import MAX_DATAGRAMS, DatagramMemory
from rtppool_echo.rules.reflection import REASON_DESTINATION

# One entry for each address asked, TOS and hop limit; whoever forges those must not fill the memory.
MAX_KEPT = 1_024


class AnswersBeside:
    """`current[at]` is what came beside the question that the answer in a slot is prepared for; empty: none."""

    def __init__(self, memory: DatagramMemory, dscp: int | None) -> None:
        self.current = [b""] * MAX_DATAGRAMS
        self._memory = memory
        self._dscp = dscp
        # The answer's control messages, or the reason why there is none.
        self._kept: dict[bytes, bytes | str] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def refusal(self, at: int, beside: bytes) -> str | None:
        """Prepare the answer in slot `at`, whose question came with `beside`; why it can't be answered, or None."""
        if not self._memory.control_is_whole(at):
            self._memory.be_ready(at)
            return REASON_DESTINATION
        answer = self._kept.get(beside)
        if answer is None:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            made = for_answer(self._memory.items_beside(at), self._dscp)
            answer = self._kept[beside] = made if isinstance(made, str) else packed(made)
        if isinstance(answer, str):
            return answer
        self._memory.put_beside(at, answer)
        self.current[at] = beside
        return None
