"""A simulated relay's `/status` waits for the next report as the product's relay does."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest

from lab.base.waiting import wait_until
from lab.faults.operator.api.api_client import ApiClient, ApiUnavailable
from lab.faults.operator.relays import fake_relays, long_poll, relay_report
from lab.faults.operator.relays.fake_relay import FakeRelay, Mode
from lab.faults.operator.relays.fake_relays import FakeRelays
from lab.faults.operator.relays.long_poll import MAX_HELD
from rtppool_core.contract.pools_file import NodeAssignment as Node
from rtppool_core.contract.pools_file import PoolEntry, PoolsDocument, encode
from rtppool_core.contract.port_range import PortRange
from rtppool_core.contract.report_changes import COUNTS_SECONDS
from rtppool_operator.relays.reports import read_report

WITHIN_SECONDS = 10.0
NODE = "node-1"
BROKEN = (ConnectionError, asyncio.IncompleteReadError)

Answered = tuple[int, bytes]


class NoApi(ApiClient):
    """An API server that accepts writes and serves no lists."""

    def __init__(self) -> None:
        """Need no server."""

    async def request(self, method: str, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        """Accept a write."""
        if method == "GET":
            raise ApiUnavailable(path)
        return {"metadata": {"uid": path}}


class Client:
    """Requests to the simulated relays, as the operator sends them."""

    def __init__(self, relays: FakeRelays) -> None:
        self.relays = relays
        self._tasks: list[asyncio.Task[Answered]] = []

    async def get(self, after: str | None = None, wait_seconds: int | None = None) -> Answered:
        """Return status and body of one answer, on a connection of its own."""
        wanted = {"after": after, "waitSeconds": wait_seconds}
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        reader, writer = await asyncio.open_connection(self.relay.address, self.relays.port)
        try:
            writer.write(f"GET /status?{query} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
            async with asyncio.timeout(WITHIN_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"Content-Length: (\d+)", head)
                return int(head.split()[1]), await reader.readexactly(int(length[1]) if length else 0)
        finally:
            writer.close()

    async def position(self) -> str:
        """Return the position of a full report."""
        return str(json.loads((await self.get())[1])["position"])

    async def held(self, number: int = 1, wait_seconds: int | None = None) -> list[asyncio.Task[Answered]]:
        """Send requests that wait for the next report, and return when the relay holds them."""
        position, held = await self.position(), self.relay.process.held
        tasks = [asyncio.create_task(self.get(position, wait_seconds)) for _ in range(number)]
        self._tasks += tasks
        await wait_until("the requests are held", lambda: self.relay.process.held == held + number, WITHIN_SECONDS)
        return tasks

    async def close(self) -> None:
        """Discard the requests without an answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def relay(self) -> FakeRelay:
        """The relay of the node."""
        return self.relays.by_node[NODE]

    def configure(self, generation: int) -> None:
        """Mount a file with this generation of the relay's pool."""
        entry = PoolEntry("p", "voice", "uid", generation, (Node(NODE),), PortRange(10_000, 10_010))
        self.relays.read(self.relay, encode(PoolsDocument((entry,))))


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Yield a client of one relay."""
    relays = FakeRelays(NoApi(), random.Random(1))
    await relays.start()
    await relays.add([(NODE, {})])
    made = Client(relays)
    yield made
    await made.close()
    await relays.close()


def generation_in(answered: Answered) -> Any:
    """Return the generation that a report has applied."""
    return json.loads(answered[1])["appliedGeneration"]


@pytest.mark.parametrize("after", [None, "", "unknown-1"])
async def test_a_request_without_the_current_position_is_answered_at_once(client: Client, after: str | None) -> None:
    status, body = await client.get(after)
    assert (status, read_report(body).position) == (200, client.relay.process.position)


async def test_a_wait_without_a_change_ends_with_204_and_no_body(client: Client) -> None:
    assert await client.get(await client.position(), 1) == (204, b"")
    assert await client.get(await client.position(), 0) == (204, b"")


async def test_a_held_request_is_no_load_and_ends_with_its_connection(client: Client) -> None:
    (waiting,) = await client.held()
    assert client.relays.load.in_flight == 0
    waiting.cancel()
    await wait_until("the request is forgotten", lambda: client.relay.process.held == 0, WITHIN_SECONDS)
    assert client.relays.load.in_flight == 0


async def test_an_edit_answers_every_held_request_at_once(client: Client) -> None:
    waiting = await client.held(MAX_HELD)
    client.configure(7)
    assert {generation_in(each) for each in await asyncio.gather(*waiting)} == {7}
    assert client.relay.answers == 1, "the waiting ones lack the figures"
    assert client.relay.polls == MAX_HELD + 1


async def test_a_new_answer_has_a_new_position_that_can_be_waited_for(client: Client) -> None:
    (waiting,) = await client.held()
    before = client.relay.process.position
    client.configure(7)
    position = json.loads((await waiting)[1])["position"]
    assert position != before
    assert await client.get(position, 1) == (204, b"")


async def test_one_request_more_than_a_relay_holds_is_answered_at_once(client: Client) -> None:
    await client.held(MAX_HELD)
    assert (await client.get(await client.position()))[0] == 200
    assert client.relay.process.held == MAX_HELD


async def test_new_figures_of_an_idle_relay_are_no_change(client: Client) -> None:
    (waiting,) = await client.held(wait_seconds=1)
    client.relays.render(client.relay)
    assert await waiting == (204, b"")


async def test_numbers_of_calls_are_published_with_a_pause_between(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Large histograms would take longer than the pause.
    monkeypatch.setattr(relay_report, "CALL_PACKETS_DRAWN", 1)
    monkeypatch.setattr(long_poll, "COUNTS_SECONDS", 0.5)
    began, positions = asyncio.get_running_loop().time(), []
    for calls in (1, 2, 3):
        client.relay.active_calls = calls
        client.relays.render(client.relay)
        positions.append(client.relay.process.position)
    assert len(set(positions)) == 1
    assert json.loads((await client.get(positions[0]))[1])["calls"]["active"] == 3
    assert asyncio.get_running_loop().time() - began >= 0.5


async def test_a_change_of_the_verdict_does_not_wait_for_the_pause(client: Client) -> None:
    client.relay.active_calls = 1
    client.relays.render(client.relay)
    (waiting,) = await client.held()
    client.relay.active_calls = 0
    client.relays.render(client.relay)
    began = asyncio.get_running_loop().time()
    assert json.loads((await waiting)[1])["sla"]["reason"] == "NoCalls"
    assert asyncio.get_running_loop().time() - began < COUNTS_SECONDS


@pytest.mark.parametrize("mode", ["garbage", "refusing"])
async def test_held_requests_are_answered_as_a_faulty_relay_answers(client: Client, mode: Mode) -> None:
    (waiting,) = await client.held()
    client.relays.set_mode(client.relay, mode)
    answered = await waiting
    assert answered[0] == 503 or b"position" not in answered[1]


async def test_a_silent_relay_never_answers_a_held_request(client: Client) -> None:
    (waiting,) = await client.held(wait_seconds=1)
    client.relays.set_mode(client.relay, "silent")
    client.relays.set_mode(client.relay, "well")
    client.configure(7)
    # The wait of a later request ends after the one that the relay forgot.
    assert await client.get(await client.position(), 1) == (204, b"")
    assert not waiting.done()


async def test_an_older_relay_has_no_position_and_answers_at_once(client: Client) -> None:
    position = await client.position()
    client.relays.set_mode(client.relay, "old")
    status, body = await client.get(position)
    assert (status, "position" in json.loads(body)) == (200, False)


@pytest.mark.parametrize("mode", ["ended", "old"])
async def test_held_requests_break_with_the_process(client: Client, mode: Mode) -> None:
    (waiting,) = await client.held()
    client.relays.set_mode(client.relay, mode)
    with pytest.raises(BROKEN):
        await waiting


async def test_an_ended_relay_resets_connections_until_it_starts_anew(client: Client) -> None:
    position = await client.position()
    client.relays.set_mode(client.relay, "ended")
    with pytest.raises(BROKEN):
        await client.get()
    client.relays.set_mode(client.relay, "well")
    assert json.loads((await client.get(position))[1])["position"] not in {"", position}


async def test_a_replaced_pod_breaks_held_requests_and_knows_no_earlier_position(client: Client) -> None:
    position = await client.position()
    (waiting,) = await client.held()
    await client.relays.remove_pod(NODE)
    with pytest.raises(BROKEN):
        await waiting
    await client.relays.add_pod(NODE)
    assert json.loads((await client.get(position))[1])["position"] not in {"", position}


async def test_every_one_of_many_relays_has_an_address_of_its_own(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_relays, "ADDRESSES_PER_BLOCK", 3)
    monkeypatch.setattr(fake_relays, "BLOCKS_PER_NETWORK", 2)
    await client.relays.add((f"node-{number}", {}) for number in range(2, 20))
    addresses = [relay.address for relay in client.relays.by_node.values()]
    assert len(set(addresses)) == 19
    assert addresses[5:7] == ["127.0.2.3", "127.1.1.1"]
