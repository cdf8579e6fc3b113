from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import sys
from collections.abc import Callable

import pytest

from rtppool_core.process.node_turn import MAX_WAITING, NodeTurn

WAIT_SECONDS = 20
HOLDER = """
import asyncio, sys
from rtppool_core.process.node_turn import NodeTurn

async def hold():
    await NodeTurn(sys.argv[1]).take(lambda: None)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture
def name() -> str:
    return f"rtp-pool-test/{secrets.token_hex(8)}"


def nothing() -> None:
    """Leave the holder as it is."""


async def standing_by(turn: NodeTurn, leave: Callable[[], None] = nothing) -> asyncio.Task[None]:
    task = asyncio.create_task(turn.take(leave))
    done, _ = await asyncio.wait({task}, timeout=0.1)
    assert not done
    return task


async def stands_by_without_asking(former: NodeTurn, following: NodeTurn) -> None:
    """Check that the following process asks nothing, and gets the turn when the former releases it."""
    asked: list[bool] = []
    await former.take(lambda: asked.append(True))
    waiting = await standing_by(following)
    assert asked == []
    former.release()
    await asyncio.wait_for(waiting, WAIT_SECONDS)
    following.release()


async def test_a_free_turn_is_taken_at_once(name: str) -> None:
    turn = NodeTurn(name)
    await asyncio.wait_for(turn.take(nothing), WAIT_SECONDS)
    turn.release()


async def test_the_next_process_gets_the_turn_when_the_former_releases_it(name: str) -> None:
    former, following = NodeTurn(name), NodeTurn(name)
    await former.take(nothing)
    waiting = await standing_by(following)
    former.release()
    await asyncio.wait_for(waiting, WAIT_SECONDS)
    following.release()


async def test_the_next_process_gets_the_turn_of_one_that_was_killed(name: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE) as holder:  # noqa: ASYNC220, S603
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            following = NodeTurn(name)
            waiting = await standing_by(following)
        finally:
            holder.kill()
        await asyncio.wait_for(waiting, WAIT_SECONDS)
        following.release()


async def test_of_two_that_stand_by_one_gets_the_turn_and_the_other_waits_for_that_one(name: str) -> None:
    former, second, third = NodeTurn(name), NodeTurn(name), NodeTurn(name)
    await former.take(nothing)
    waiting = {await standing_by(second): second, await standing_by(third): third}
    former.release()
    done, pending = await asyncio.wait(waiting, timeout=WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(pending)) == (1, 1)
    for task in done:
        waiting[task].release()
    await asyncio.wait_for(pending.pop(), WAIT_SECONDS)
    second.release()
    third.release()


async def test_a_process_with_another_endpoint_asks_the_former_to_leave(name: str) -> None:
    former, following = NodeTurn(name, "http 9090"), NodeTurn(name, "http 9190", ask_after_seconds=0.01)
    await former.take(former.release)
    await asyncio.wait_for(following.take(nothing), WAIT_SECONDS)
    following.release()


async def test_a_process_with_the_same_endpoint_never_asks(name: str) -> None:
    await stands_by_without_asking(NodeTurn(name, "http 9090"), NodeTurn(name, "http 9090", ask_after_seconds=0.0))


async def test_a_holder_of_another_user_is_logged_and_not_waited_for(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    foreign, own = NodeTurn(name), NodeTurn(name, users=frozenset())
    await foreign.take(nothing)
    await asyncio.wait_for(own.take(nothing), WAIT_SECONDS)
    own.release()
    foreign.release()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"a process of another user holds the turn of {name}; this one serves without it"
    ]


async def test_a_process_of_another_user_waits_and_cannot_ask_the_former_to_leave(name: str) -> None:
    await stands_by_without_asking(
        NodeTurn(name, "http 9090", users=frozenset()), NodeTurn(name, "http 9190", ask_after_seconds=0.01)
    )


async def test_a_process_that_the_former_turns_away_tries_again_after_a_pause(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, tries = asyncio.open_unix_connection, 0

    async def counted(address: str, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        nonlocal tries
        tries += 1
        return await connect(address, limit=limit)

    former, following = NodeTurn(name), NodeTurn(name)
    await former.take(nothing)
    connections = [await connect(f"\0{name}") for _ in range(MAX_WAITING)]
    for reader, _ in connections:
        await reader.readline()
    monkeypatch.setattr(asyncio, "open_unix_connection", counted)
    waiting = await standing_by(following)
    assert 0 < tries < 20
    former.release()
    await asyncio.wait_for(waiting, WAIT_SECONDS)
    for _, writer in connections:
        writer.close()
    following.release()


async def test_turns_of_other_names_do_not_wait(name: str) -> None:
    one, other = NodeTurn(name), NodeTurn(f"{name}-other")
    await one.take(nothing)
    await asyncio.wait_for(other.take(nothing), WAIT_SECONDS)
    one.release()
    other.release()


async def test_connections_that_send_other_bytes_or_nothing_do_not_end_the_turn(name: str) -> None:
    asked: list[bool] = []
    former = NodeTurn(name)
    await former.take(lambda: asked.append(True))
    connections = [await asyncio.open_unix_connection(f"\0{name}") for _ in range(MAX_WAITING)]
    for _, writer in connections:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await writer.drain()
    reader, writer = await asyncio.open_unix_connection(f"\0{name}")
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), WAIT_SECONDS) == b"", "one more than it keeps"
    assert asked == []
    for _, each in (*connections, (reader, writer)):
        each.close()
    former.release()
