"""Knowledge that a batch may need before it leaves, and that machine code does not have.

That is the host time of packets that were held, and whether a new sender is on another machine. Both are rare.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from rtppool_core.net.local_address import is_local_address
from rtppool_core.rtp.echo_extension import host_field
from rtppool_echo.messages.datagram_memory import ENVELOPE_WORDS, SLOT_BYTES
from rtppool_echo.reflector.batch import CHECK_EVERY_NS
from rtppool_echo.reflector.extension import MIN_SLOW_NS, fill_host
from rtppool_echo.reflector.memory import (
    HOST_CHECKED_NS,
    NEW_SENDERS,
    ORDINARY_HOST,
    SENT_NS,
    WAITING,
    WAITING_WORDS,
    ReflectorMemory,
)
from rtppool_echo.rules.sender_table import KEY_WORDS
from rtppool_echo.socket_name import address_bytes
from rtppool_echo.workers.counters import ASKED_FROM_ELSEWHERE

# The time within the last so many ns in which this machine did not run the process; None where no witness works.
HostTime = Callable[[int], int | None]


class Attendant:
    """Completes batches in a reflecting process's memory."""

    def __init__(self, memory: ReflectorMemory, host_ns: HostTime) -> None:
        self._memory = memory
        self._host_ns = host_ns

    def attend(self) -> None:
        """Note new senders of the batch, and write the host times of its packets."""
        self._note_senders()
        self._write_host_times()

    def _note_senders(self) -> None:
        memory, counters = self._memory, self._memory.counters
        for at in memory.array("new_senders")[: memory.array("state")[NEW_SENDERS]]:
            key = memory.array("envelopes")[at * ENVELOPE_WORDS : at * ENVELOPE_WORDS + KEY_WORDS]
            if not counters[ASKED_FROM_ELSEWHERE] and not is_local_address(
                str(ipaddress.ip_address(address_bytes(key)))
            ):
                counters[ASKED_FROM_ELSEWHERE] = 1

    def _write_host_times(self) -> None:
        memory = self._memory
        state, waiting = memory.array("state"), memory.array("waiting")
        if not state[WAITING]:
            return
        sent_ns = state[SENT_NS]
        if not 0 <= sent_ns - state[HOST_CHECKED_NS] < CHECK_EVERY_NS:
            state[HOST_CHECKED_NS], state[ORDINARY_HOST] = sent_ns, host_field(self._host_ns(0))
        for place in range(state[WAITING]):
            at = waiting[place * WAITING_WORDS]
            held_ns = sent_ns - memory.received_ns(at)
            host = state[ORDINARY_HOST] if held_ns < MIN_SLOW_NS else host_field(self._host_ns(held_ns))
            fill_host(memory.array("payloads"), at * SLOT_BYTES, host)
