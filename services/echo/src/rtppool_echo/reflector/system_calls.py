"""The system calls of a reflecting process: receive a batch, send its answers. Compiled.

At the rate of 100 calls nearly every batch has one datagram. One call of recvmsg costs less then than one of recvmmsg,
which asks for a second datagram in vain. So several are asked for after a batch of several, and once in `MAX_SINGLES`
batches.

An answer that the kernel refuses, for instance for want of a route, is left out and not tried again: a second try would
cost most for the datagrams of forged senders. sendmmsg reports an error of the first datagram of a call only, so the
reason comes from the socket: without room, its send buffer was full.
"""

from __future__ import annotations

import socket
import time

from rtppool_core.compiled.system_calls import clock_gettime, poll, recvmmsg, recvmsg, sendmmsg, sendmsg
from rtppool_core.units import NS_PER_SECOND
from rtppool_echo.messages.datagram_memory import (
    CONTROL_BYTES,
    LENGTH,
    MAX_DATAGRAMS,
    MESSAGE_BYTES,
    MESSAGE_WORDS,
    NAME_BYTES,
    SIZE,
    VECTOR_WORDS,
)
from rtppool_echo.reflector.batch import fill_waiting, judge
from rtppool_echo.reflector.memory import (
    ANSWERS,
    ATTEND,
    BUSY,
    IDLE,
    NEW_SENDERS,
    RECEIVED,
    SINGLES,
    WAITING,
    Reflector,
)
from rtppool_echo.rules.refusals import REASON_SEND_ERROR, REASON_SEND_FULL, place_of
from rtppool_echo.workers.counters import ALIVE_AT_NS, ANSWERED_BYTES, ANSWERED_PACKETS, FIRST_REASON

# Control's signals are handled between two calls of `reflect`.
MAX_BATCHES = 64
MAX_SINGLES = 16
# linux/socket.h: wait for the first datagram only.
_WAIT_FOR_ONE = 0x10000
_DONTWAIT = int(socket.MSG_DONTWAIT)
_REALTIME, _MONOTONIC = int(time.CLOCK_REALTIME), int(time.CLOCK_MONOTONIC)
_SEND_ERROR = FIRST_REASON + place_of(REASON_SEND_ERROR)
_SEND_FULL = FIRST_REASON + place_of(REASON_SEND_FULL)


def reflect(echo: Reflector) -> int:
    """Answer datagrams: up to `MAX_BATCHES`, or until nothing arrives in time, or a batch needs control's knowledge."""
    for _ in range(MAX_BATCHES):
        number = receive(echo)
        now_ns = clock_ns(echo, _MONOTONIC)
        if number <= 0:
            echo.counters[ALIVE_AT_NS] = now_ns
            return IDLE
        judge(echo, number, now_ns)
        is_asked = echo.state[WAITING] != 0 and fill_waiting(echo, clock_ns(echo, _REALTIME))
        if is_asked or echo.state[NEW_SENDERS] != 0:
            return ATTEND
        answer(echo)
    return BUSY


def receive(echo: Reflector) -> int:
    """Wait for datagrams, and return their number, 0 or below for none."""
    state, questions = echo.state, echo.questions
    # The kernel replaces both lengths.
    for at in range(state[RECEIVED]):
        questions[at * MESSAGE_WORDS + NAME_BYTES] = echo.name_bytes
        questions[at * MESSAGE_WORDS + CONTROL_BYTES] = echo.ancillary_bytes
    if 0 < state[SINGLES] < MAX_SINGLES:
        state[SINGLES] += 1
        size = recvmsg(echo.descriptor, questions.ctypes.data, 0)
        questions[SIZE] = size
        return 1 if size >= 0 else -1
    number = recvmmsg(echo.descriptor, questions.ctypes.data, MAX_DATAGRAMS, _WAIT_FOR_ONE, 0)
    state[SINGLES] = 0 if number > 1 else 1
    return number


def answer(echo: Reflector) -> int:
    """Send the answers of the batch, and count them. Return their number."""
    answers = echo.state[ANSWERS]
    at = sent = octets = 0
    while at < answers:
        done = max(0, _send(echo, at, answers - at))
        for place in range(at, at + done):
            octets += echo.out_of[place * VECTOR_WORDS + LENGTH]
        at += done
        sent += done
        if at < answers:
            echo.counters[_reason(echo)] += 1
            at += 1
    echo.counters[ANSWERED_PACKETS] += sent
    echo.counters[ANSWERED_BYTES] += octets
    return sent


def clock_ns(echo: Reflector, clock: int) -> int:
    """Return the time of a clock."""
    clock_gettime(clock, echo.clock.ctypes.data)
    return echo.clock[0] * NS_PER_SECOND + echo.clock[1]  # type: ignore[no-any-return]


def _send(echo: Reflector, at: int, number: int) -> int:
    """Send `number` answers from `at` on. Return how many were sent, below 0 when the first was refused."""
    messages = echo.answers.ctypes.data + at * MESSAGE_BYTES
    if number == 1:
        return 1 if sendmsg(echo.descriptor, messages, _DONTWAIT) >= 0 else -1
    return sendmmsg(echo.descriptor, messages, number, _DONTWAIT)


def _reason(echo: Reflector) -> int:
    """Return the counter of the reason for which the kernel has just refused an answer."""
    return _SEND_ERROR if poll(echo.room.ctypes.data, 1, 0) > 0 else _SEND_FULL
