"""Places of figures in the memory of the heartbeats, in words of 64 bits, and bounds of its lists.

A header comes first, and then one block for each watched processor. The loop of a heartbeat (`beat_loop`) is machine
code where it can be, so a block is numbers only. All times are of CLOCK_MONOTONIC, in ns.
"""

from __future__ import annotations

WORD_BYTES = 8

# The header.
MAX_OWN = 8
MAX_PACKET = 64
OWN_COUNT = 0
OWN_PIDS = 1
PACKET_COUNT = OWN_PIDS + MAX_OWN
PACKET_PIDS = PACKET_COUNT + 1
READERS = PACKET_PIDS + MAX_PACKET
HEADER_WORDS = 512

# A block. `DUE` is when the next beat is due; 0 while the heartbeat does not run. `USUAL` is its usual lateness.
DUE = 0
USUAL = 1
EVENT_COUNT = 2
READING_COUNT = 3
# What the loop is told: the period, how many beats lie between two readings, and after how many beats to return.
PERIOD = 4
CLOCKS_EVERY = 5
WAITS_EVERY = 6
BEATS_LEFT = 7
# What it remembers: the latest beat, and the latest run delay of a packet process.
WOKE = 8
IS_CONTENDED = 10
TURN = 11
WAITED = 12
WAITED_SINCE = 13
# The processor that this heartbeat watches.
PROCESSOR = 14
# The processes of the product: their ids, the ids of their CPU clocks (`READINGS` has these clocks), and their open
# files of the kernel's state, which names the processor.
PIDS = 16
CLOCK_IDS = PIDS + MAX_OWN
STATES = CLOCK_IDS + MAX_OWN
# Room for what the kernel writes. A state has at most 40 numbers before the processor.
SCRATCH = STATES + MAX_OWN
SCRATCH_WORDS = 128
# The packet processes that this heartbeat reads: their ids, their open files of states and run delays, the latest run
# delays, and when.
WAIT_COUNT = SCRATCH + SCRATCH_WORDS
WAITING_PIDS = WAIT_COUNT + 1
WAITING_STATES = WAITING_PIDS + MAX_PACKET
DESCRIPTORS = WAITING_STATES + MAX_PACKET
DELAYS = DESCRIPTORS + MAX_PACKET
READ_AT = DELAYS + MAX_PACKET
# A process's usual share of a processor is that of the last intervals, some 0.25 to 0.6 s. `own_time` sorts them here.
MAX_SHARES = 41
SHARES = READ_AT + MAX_PACKET
# A ring of stalls and waits: three seconds of a heartbeat that is late at every beat. Each has a kind, the processor,
# begin and end, CLOCK_MONOTONIC_RAW less CLOCK_MONOTONIC, and the time before it that was not seen.
STALL = 0
WAIT = 1
EVENTS = SHARES + MAX_SHARES
MAX_EVENTS = 1024
EVENT_WORDS = 6
# A reading: its time, and a CPU time for each of `PIDS`. They last for one to two seconds.
READINGS = EVENTS + MAX_EVENTS * EVENT_WORDS
MAX_READINGS = 168
READING_WORDS = 1 + MAX_OWN
BLOCK_WORDS = 8704

# A figure that was not read.
UNREAD = -1

# Shorter lateness is usual for a process that sleeps.
MIN_STALL_NS = 500_000


def event_at(number: int) -> int:
    """Return the place of an event in the block, by its number since the memory was made."""
    return EVENTS + number % MAX_EVENTS * EVENT_WORDS


def reading_at(number: int) -> int:
    """Return the place of a reading in the block, by its number since the memory was made."""
    return READINGS + number % MAX_READINGS * READING_WORDS
