import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lab.faults.calls.rig.ari_proxy import AriProxy

WAIT_SECONDS = 20


class Peer:
    """An echo of chunks, behind a proxy."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError):
            while chunk := await reader.read(100):
                writer.write(chunk)
        writer.close()


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[AriProxy, Connect]]:
    server = await asyncio.start_server(Peer(), "127.0.0.1", 0)
    there = AriProxy(0, server.sockets[0].getsockname()[1])
    await there.start()
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", there.listen_port)
        writers.append(writer)
        return reader, writer

    yield there, connect
    for writer in writers:
        writer.close()
    await there.close()
    server.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within_seconds: float) -> bytes:
    writer.write(b"x")
    async with asyncio.timeout(within_seconds):
        return await reader.read(1)


async def test_a_proxy_passes_on_until_it_is_told_to_reset(proxy: tuple[AriProxy, Connect]) -> None:
    there, connect = proxy
    reader, writer = await connect()
    assert await answer(reader, writer, WAIT_SECONDS) == b"x"
    there.reset()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    assert await answer(*await connect(), WAIT_SECONDS) == b"x"


async def test_a_healed_proxy_serves_new_connections_and_leaves_old_ones_silent(
    proxy: tuple[AriProxy, Connect],
) -> None:
    there, connect = proxy
    old = await connect()
    assert await answer(*old, WAIT_SECONDS) == b"x"
    there.swallow()
    there.heal()
    assert await answer(*await connect(), WAIT_SECONDS) == b"x"
    with pytest.raises(TimeoutError):
        await answer(*old, 0.05)
