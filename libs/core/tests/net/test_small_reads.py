from __future__ import annotations

import asyncio
import socket

from rtppool_core.net.small_reads import MAX_READ_BYTES, SmallReads
from rtppool_testing.allocations import allocated

SENT = bytes(range(250)) * 400


def pair() -> tuple[socket.socket, SmallReads]:
    near, far = socket.socketpair()
    return near, SmallReads.over(far)


def test_a_read_returns_no_more_than_its_bound_and_leaves_the_rest() -> None:
    near, far = pair()
    with near, far:
        near.sendall(SENT[: MAX_READ_BYTES + 100])
        assert far.recv(1 << 20) == SENT[:MAX_READ_BYTES]
        assert far.recv(10, socket.MSG_PEEK) == far.recv(10) == SENT[MAX_READ_BYTES : MAX_READ_BYTES + 10]
        assert far.recv(1 << 20) == SENT[MAX_READ_BYTES + 10 : MAX_READ_BYTES + 100]


def test_the_socket_of_another_one_has_its_descriptor_and_kind() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()):
        accepted, address = listener.accept()
        descriptor = accepted.fileno()
        with SmallReads.over(accepted) as taken:
            assert accepted.fileno() == -1
            assert taken.fileno() == descriptor
            assert (taken.family, taken.type, taken.proto) == (accepted.family, accepted.type, accepted.proto)
            assert taken.getpeername() == address


async def test_asyncio_receives_everything_and_allocates_little() -> None:
    near, far = pair()
    far.setblocking(False)
    with near:
        reader, writer = await asyncio.open_connection(sock=far)
        near.sendall(b"a few bytes")
        with allocated() as measured:
            assert await reader.read(100) == b"a few bytes"
        assert measured.peak_bytes < 4 * MAX_READ_BYTES
        near.sendall(SENT)
        assert await reader.readexactly(len(SENT)) == SENT
        writer.close()
        await writer.wait_closed()
