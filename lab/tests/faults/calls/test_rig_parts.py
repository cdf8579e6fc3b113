import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from lab.faults.calls.errors import ChaosError
from lab.faults.calls.rig.ari_proxy import AriProxy
from lab.faults.calls.rig.asterisk import with_settings
from lab.faults.calls.rig.keeper import Keeper

WAIT_SECONDS = 20


async def until(looks: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not looks():
            await asyncio.sleep(0.005)


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    kept = Keeper("sleeper", ["sleep", "600"], {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    await kept.start()
    yield kept
    await kept.close()


async def test_a_killed_process_is_started_again_at_once(keeper: Keeper) -> None:
    first = keeper.pid
    keeper.kill()
    await keeper.started_again(1, WAIT_SECONDS)
    assert keeper.pid != first


async def test_a_held_process_stays_down_until_it_is_released(keeper: Keeper) -> None:
    keeper.hold()
    keeper.end()
    with pytest.raises(ChaosError, match="not started again"):
        await keeper.started_again(1, 0)
    keeper.release()
    await keeper.started_again(1, WAIT_SECONDS)


async def test_a_process_that_ends_at_once_every_time_is_given_up(tmp_path: Path) -> None:
    kept = Keeper("broken", ["sh", "-c", "echo no; exit 3"], {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    await kept.start()
    await until(lambda: kept.has_given_up)
    with pytest.raises(ChaosError, match="times in a row:\n    no"):
        await kept.close()


def test_settings_replace_what_a_configuration_file_has() -> None:
    assert with_settings("[general]\nbindport = 8088\n", {"bindport": "9"}) == "[general]\nbindport = 9\n"


def test_a_setting_that_a_configuration_file_has_not_is_an_error() -> None:
    with pytest.raises(ChaosError, match="rtpstart stands 0 times"):
        with_settings("[general]\n", {"rtpstart": "9"})


class Peer:
    """Answers each chunk with itself, behind a proxy."""

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
