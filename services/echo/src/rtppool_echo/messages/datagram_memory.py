"""The layout of a batch of datagrams and their answers, in the form of recvmmsg and sendmmsg.

Slot `at` of every array belongs to the same datagram. The header of an answer points at the bytes of its question, so
that an answer costs no copy. Answers are in a row, because refused datagrams have none:

    payloads      64 KiB a slot, the largest datagram
    envelopes     the sender's name, and the ancillary data of the question
    questions     struct mmsghdr, for receiving        answers           struct mmsghdr, for sending
    into          struct iovec of a whole slot         out_of            struct iovec of the bytes sent back
                                                       answer_ancillary  ancillary data of the answer

Words have 64 bits. The kernel's structures are the same on x86-64 and arm64, with glibc and with musl.
"""

from __future__ import annotations

MAX_DATAGRAMS = 64
SLOT_BYTES = 65_536
MAX_DATAGRAM_BYTES = 65_535
WORD_BYTES = 8
# An envelope: four words of the name, the longest ancillary data, and room up to a multiple of a cache line.
NAME_WORDS = 4
ENVELOPE_WORDS = 24
ANCILLARY_WORDS = 16
# Of an envelope: the receive stamp, which is the data of the first control message.
STAMP_WORD = NAME_WORDS + 2
# struct mmsghdr: name, its length, vectors, their number, control, its length, flags, and the datagram's size. The
# name's length, the flags and the size have 32 bits.
NAME, NAME_BYTES, VECTORS, VECTOR_COUNT, CONTROL, CONTROL_BYTES, FLAGS, SIZE = range(8)
MESSAGE_WORDS = 8
MESSAGE_BYTES = MESSAGE_WORDS * WORD_BYTES
# struct iovec.
BASE, LENGTH = range(2)
VECTOR_WORDS = 2
