"""Simulated relays: pods in the API server, `/status` on an address each, and a simulated kubelet.

Each relay has a pod with `spec.nodeName` and `status.podIP` 127.0.x.y. The kubelet renews a pod's mount 0.35 s after a
change of the operator's annotation, and otherwise every minute, as a real kubelet was measured to do. The relay then
runs its node's entry of the mounted `pools.json`, parsed by the product's own code.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from lab.faults.operator.api.api_client import ApiClient, ApiRefused, ApiUnavailable
from lab.faults.operator.api.resources import CONFIG_MAPS, NODES, PODS, Document, node, relay_pod, running
from lab.faults.operator.relays.relay_report import Situation, rendered, rendered_as_older, report_of
from lab.faults.operator.relays.status_server import Answer, Load, StatusProtocol
from rtppool_core.contract.codec import ContractError
from rtppool_core.contract.pools_file import CONFIG_MAP_NAME, FILE_NAME, REFRESH_ANNOTATION, PoolEntry, decode_for_node

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.35
SYNC_SECONDS = 60.0
RETRY_SECONDS = 0.2
SLOW_SECONDS = 3.0
CREATED_AT_ONCE = 8
ADDRESSES_PER_BLOCK = 250

_OnDocument = Callable[[str, Document], None]
Mode = Literal["well", "silent", "garbage", "slow", "old", "refusing"]
GARBAGE = (
    b"",
    b"<html>502 Bad Gateway</html>",
    b"{",
    b"[]",
    b"null",
    b'{"version": 1}',
    b'{"version": 99}',
    b"\x00\xff" * 500,
    b'{"version": 1, "ports": {"total": "many"}}',
    b"[" * 100_000,
)


@dataclass(slots=True)
class FakeRelay:
    """A simulated relay: it runs `entry`, last read the text `mounted`, and `revision` is its pod's annotation."""

    pod: str
    node: str
    address: str
    mode: Mode = "well"
    active_calls: int = 0
    echo_reachable: bool = True
    entry: PoolEntry | None = None
    mounted: str | None = None
    config_error: str | None = None
    revision: str | None = None
    uid: str | None = None
    polls: int = 0
    body: bytes = b""
    pending: asyncio.Task[None] | None = field(default=None, repr=False)


class FakeRelays:
    """All simulated relays of a run. A relay without a fault answers after `answer_seconds`."""

    def __init__(self, api: ApiClient, chance: random.Random, answer_seconds: float = 0.0) -> None:
        self.by_node: dict[str, FakeRelay] = {}
        self.load = Load()
        self.port = 0
        self._api = api
        self._chance = chance
        self._answer_seconds = answer_seconds
        self._by_address: dict[str, FakeRelay] = {}
        self._by_pod: dict[str, FakeRelay] = {}
        self._config: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    @property
    def config(self) -> str | None:
        """The latest `pools.json` of the kubelet's watch."""
        return self._config

    async def start(self) -> None:
        """Start listening, and start the simulated kubelet."""
        loop = asyncio.get_running_loop()
        # One socket serves all of 127.0.0.0/8.
        self._server = await loop.create_server(lambda: StatusProtocol(self._answer, self.load), "0.0.0.0", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        for follow in (self._follow_pods, self._follow_config, self._sync):
            self._tasks.append(asyncio.create_task(follow()))

    async def close(self) -> None:
        """Stop the server and the kubelet."""
        pending = [relay.pending for relay in self.by_node.values() if relay.pending is not None]
        for task in (*self._tasks, *pending):
            task.cancel()
        await asyncio.gather(*self._tasks, *pending, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    async def add(self, nodes: Iterable[tuple[str, dict[str, str]]]) -> None:
        """Create nodes with labels, each with a relay's pod."""
        limit = asyncio.Semaphore(CREATED_AT_ONCE)

        async def one(name: str, labels: dict[str, str]) -> None:
            async with limit:
                await self._api.create(NODES, node(name, labels))
                await self.add_pod(name)

        await asyncio.gather(*(one(name, labels) for name, labels in nodes))

    async def add_pod(self, node_name: str) -> FakeRelay:
        """Create a relay's pod on a node, as the DaemonSet does."""
        known = self.by_node.get(node_name)
        address = known.address if known is not None else self._next_address()
        number = 1 if known is None else int(known.pod.rpartition("-")[2]) + 1
        relay = FakeRelay(f"relay-{node_name}-{number}", node_name, address)
        self.by_node[node_name] = self._by_address[address] = self._by_pod[relay.pod] = relay
        self.render(relay)
        await self._api.create(PODS, relay_pod(relay.pod, node_name, self.port))
        made = await self._api.patch(f"{PODS}/{relay.pod}/status", running(address))
        relay.uid = made["metadata"]["uid"]
        # A new pod mounts the current file.
        self._read_mount(relay)
        return relay

    async def remove_pod(self, node_name: str) -> None:
        """Delete a relay's pod; its node stays."""
        relay = self.by_node[node_name]
        if relay.pending is not None:
            relay.pending.cancel()
        await self._api.delete(f"{PODS}/{relay.pod}")

    def render(self, relay: FakeRelay) -> None:
        """Render the relay's report anew."""
        report = report_of(
            Situation(
                relay.pod,
                relay.node,
                relay.entry,
                relay.active_calls,
                relay.echo_reachable,
                relay.config_error,
                "0.0.9" if relay.mode == "old" else "0.1.0",
            ),
            self._chance,
            int(time.time()),
        )
        relay.body = rendered_as_older(report) if relay.mode == "old" else rendered(report)

    def set_mode(self, relay: FakeRelay, mode: Mode) -> None:
        """Set how the relay answers from now on."""
        relay.mode = mode
        self.render(relay)

    def forget_polls(self) -> None:
        """Reset the counters of polls and of requests in flight."""
        for relay in self.by_node.values():
            relay.polls = 0
        self.load.most_in_flight = self.load.in_flight

    def _next_address(self) -> str:
        block, place = divmod(len(self._by_address), ADDRESSES_PER_BLOCK)
        return f"127.0.{block + 1}.{place + 1}"

    def _answer(self, address: str) -> Answer:
        relay = self._by_address.get(address)
        if relay is None:
            return Answer(b"", "404 Not Found")
        relay.polls += 1
        match relay.mode:
            case "silent":
                return Answer(None)
            case "garbage":
                return Answer(self._chance.choice(GARBAGE))
            case "refusing":
                return Answer(b"{}", "503 Service Unavailable")
            case "slow":
                return Answer(relay.body, delay_seconds=SLOW_SECONDS)
        return Answer(relay.body, delay_seconds=self._answer_seconds)

    def read(self, relay: FakeRelay, text: str) -> None:
        """Apply a new text of the relay's file, as the product's relay does."""
        relay.mounted = text
        try:
            relay.entry, relay.config_error = _decode(text, relay.node), None
        except ContractError as error:
            relay.config_error = str(error)
        self.render(relay)

    def _read_mount(self, relay: FakeRelay) -> None:
        """Read the mounted file. Without a file a relay keeps the last good one."""
        if self._config is not None and relay.mounted != self._config:
            self.read(relay, self._config)

    async def _renew(self, relay: FakeRelay) -> None:
        await asyncio.sleep(REFRESH_SECONDS)
        self._read_mount(relay)

    async def _sync(self) -> None:
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            for relay in self.by_node.values():
                self._read_mount(relay)

    async def _follow_pods(self) -> None:
        await self._follow(PODS, self._on_pod)

    async def _follow_config(self) -> None:
        await self._follow(CONFIG_MAPS, self._on_config)

    async def _follow(self, path: str, on_document: _OnDocument) -> None:
        while True:
            with contextlib.suppress(ApiUnavailable, ApiRefused):
                listed = await self._api.get(path)
                for document in listed["items"]:
                    on_document("MODIFIED", document)
                async for event in self._api.watch(path, listed["metadata"]["resourceVersion"]):
                    if event.kind == "ERROR":
                        break
                    on_document(event.kind, event.document)
            await asyncio.sleep(RETRY_SECONDS)

    def _on_pod(self, kind: str, document: Document) -> None:
        relay = self._by_pod.get(document["metadata"]["name"])
        if relay is None or kind == "DELETED":
            return
        revision = document["metadata"].get("annotations", {}).get(REFRESH_ANNOTATION)
        if revision == relay.revision:
            return
        relay.revision = revision
        if relay.pending is not None:
            relay.pending.cancel()
        relay.pending = asyncio.create_task(self._renew(relay))

    def _on_config(self, kind: str, document: Document) -> None:
        if document["metadata"]["name"] == CONFIG_MAP_NAME:
            self._config = None if kind == "DELETED" else document.get("data", {}).get(FILE_NAME)


@functools.lru_cache(maxsize=1024)
def _decode(text: str, node_name: str) -> PoolEntry | None:
    return decode_for_node(text, node_name)
