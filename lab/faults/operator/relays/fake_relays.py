"""Simulated relays: pods in the API server, `/status` on an address each, and a simulated kubelet.

Each relay has a pod with `spec.nodeName` and `status.podIP` 127.x.y.z. It runs its node's entry of the mounted
`pools.json`, parsed by the product's own code. Its `/status` waits for changes as the product's relay does.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from lab.faults.operator.api.api_client import ApiClient
from lab.faults.operator.api.resources import NODES, PODS, node, relay_pod, running
from lab.faults.operator.relays.fake_relay import FakeRelay, Mode
from lab.faults.operator.relays.kubelet import Kubelet
from lab.faults.operator.relays.long_poll import LongPoll
from lab.faults.operator.relays.mounted_file import entry_of_node
from lab.faults.operator.relays.relay_report import Situation, rendered, rendered_as_older, report_of
from lab.faults.operator.relays.status_server import Answer, Load, StatusConnection, serve
from rtppool_core.contract.codec import ContractError
from rtppool_core.contract.report import Windows
from rtppool_core.contract.report_changes import NO_CHANGE, urgent_part

SLOW_SECONDS = 3.0
CREATED_AT_ONCE = 32
ADDRESSES_PER_BLOCK, BLOCKS_PER_NETWORK = 250, 250

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


@dataclass(frozen=True, slots=True)
class EditTimes:
    """Monotonic seconds of an edit's ConfigMap, last annotation and last reading relay; None: not yet."""

    config: float | None
    annotated: float | None
    read: float | None


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
        self._kubelet = Kubelet(api, self._by_pod, self.read)
        self._server: asyncio.Server | None = None

    @property
    def config(self) -> str | None:
        """The latest `pools.json` of the kubelet's watch."""
        return self._kubelet.config

    @property
    def older_configurations(self) -> int:
        """The number of files in which a pool had an older generation than in an earlier one."""
        return self._kubelet.older_configurations

    async def start(self) -> None:
        """Start listening, and start the simulated kubelet."""
        self._server = await serve(self, self.load)
        self.port = self._server.sockets[0].getsockname()[1]
        self._kubelet.start()

    async def close(self) -> None:
        """Stop the server and the kubelet."""
        await self._kubelet.close()
        if self._server is not None:
            self._server.close()
        for relay in self.by_node.values():
            self._remove(relay)

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
        if known is not None:
            self._remove(known)
            del self._by_pod[known.pod]
        relay = self._started(FakeRelay(f"relay-{node_name}-{number}", node_name, address))
        self.by_node[node_name] = self._by_address[address] = self._by_pod[relay.pod] = relay
        self.render(relay)
        await self._api.create(PODS, relay_pod(relay.pod, node_name, self.port))
        made = await self._api.patch(f"{PODS}/{relay.pod}/status", running(address))
        relay.uid = made["metadata"]["uid"]
        # A new pod mounts the current file.
        self._kubelet.mount(relay)
        return relay

    async def remove_pod(self, node_name: str) -> None:
        """Delete a relay's pod, which ends its process; its node stays."""
        relay = self.by_node[node_name]
        self.set_mode(relay, "ended")
        self._remove(relay)
        await self._api.delete(f"{PODS}/{relay.pod}")

    def render(self, relay: FakeRelay) -> None:
        """Make the relay's report anew, and publish a change as the product's relay does."""
        situation = Situation(
            relay.pod,
            relay.node,
            relay.entry,
            relay.active_calls,
            relay.echo_reachable,
            relay.config_error,
            "0.0.9" if relay.mode == "old" else "0.1.0",
        )
        relay.report = report_of(situation, self._chance, int(time.time()))
        relay.body = ("", b"")
        urgent, counts = relay.urgent, relay.counts
        relay.urgent, relay.counts = urgent_part(relay.report), (relay.report.calls, relay.report.ports)
        if relay.urgent != urgent:
            relay.process.change()
        elif relay.counts != counts:
            relay.process.change_counts()

    def set_mode(self, relay: FakeRelay, mode: Mode) -> None:
        """Set how the relay answers from now on, held requests included."""
        before, relay.mode = relay.mode, mode
        if mode == before:
            return
        if {before, mode} & {"old", "ended"}:
            # Another process answers, or none.
            self._end(relay)
            self._started(relay)
        self.render(relay)
        if mode in {"silent", "garbage", "refusing"}:
            for connection in relay.process.release():
                self._respond(relay, connection)

    def forget_polls(self) -> None:
        """Reset the counters of polls, of full reports and of requests in flight."""
        for relay in self.by_node.values():
            relay.polls = relay.answers = 0
        self.load.most_in_flight = self.load.in_flight

    def connected(self, connection: StatusConnection) -> None:
        """Note a connection to a relay. One whose process has ended accepts none."""
        relay = self._by_address.get(connection.address)
        if relay is None:
            return
        if relay.mode == "ended":
            connection.reset()
            return
        relay.connections.add(connection)

    def requested(self, connection: StatusConnection) -> None:
        """Answer or hold a request to a relay."""
        relay = self._by_address.get(connection.address)
        if relay is None:
            connection.answer(Answer(b"", "404 Not Found"))
            return
        relay.polls += 1
        self._respond(relay, connection)

    def lost(self, connection: StatusConnection) -> None:
        """Forget a connection and its held request."""
        relay = self._by_address.get(connection.address)
        if relay is not None:
            relay.connections.discard(connection)
            relay.process.forget(connection)

    def _respond(self, relay: FakeRelay, connection: StatusConnection) -> None:
        match relay.mode:
            case "silent":
                return
            case "garbage":
                connection.answer(Answer(self._chance.choice(GARBAGE)))
            case "refusing":
                connection.answer(Answer(b"{}", "503 Service Unavailable"))
            case "old":
                self._send_report(relay, connection)
            case _:
                relay.process.request(connection)

    def _send_report(self, relay: FakeRelay, connection: StatusConnection) -> None:
        relay.answers += 1
        position = relay.process.position
        if relay.body[0] != position:
            report = relay.report
            body = rendered_as_older(report) if relay.mode == "old" else rendered(replace(report, position=position))
            relay.body = (position, body)
        delay_seconds = SLOW_SECONDS if relay.mode == "slow" else self._answer_seconds
        connection.answer(Answer(relay.body[1], delay_seconds=delay_seconds))

    def _send_brief(self, relay: FakeRelay, connection: StatusConnection) -> None:
        report = replace(relay.report, position=relay.process.position, windows=Windows(), whole=False)
        delay_seconds = SLOW_SECONDS if relay.mode == "slow" else self._answer_seconds
        connection.answer(Answer(rendered(report), delay_seconds=delay_seconds))

    def _send_no_change(self, relay: FakeRelay, connection: StatusConnection) -> None:
        delay_seconds = SLOW_SECONDS if relay.mode == "slow" else 0.0
        connection.answer(Answer(None, f"{NO_CHANGE} No Content", delay_seconds))

    def _started(self, relay: FakeRelay) -> FakeRelay:
        """Give the relay a new process."""
        relay.process = LongPoll(
            secrets.token_hex(4),
            lambda connection: self._send_report(relay, connection),
            lambda connection: self._send_brief(relay, connection),
            lambda connection: self._send_no_change(relay, connection),
        )
        return relay

    def _remove(self, relay: FakeRelay) -> None:
        """End the relay's process and its pod's mount."""
        if relay.renewal is not None:
            relay.renewal.cancel()
        self._end(relay)

    def _end(self, relay: FakeRelay) -> None:
        """End the relay's process: its connections break."""
        relay.process.close()
        for connection in tuple(relay.connections):
            connection.reset()

    def _next_address(self) -> str:
        block, place = divmod(len(self._by_address), ADDRESSES_PER_BLOCK)
        network, block = divmod(block, BLOCKS_PER_NETWORK)
        return f"127.{network}.{block + 1}.{place + 1}"

    @property
    def held(self) -> int:
        """The number of requests that relays hold."""
        return sum(relay.process.held for relay in self.by_node.values())

    def edit_times(self, uid: str, generation: int, since_seconds: float) -> EditTimes:
        """Return the times of an edit. `since_seconds` is before it, so that earlier annotations do not count."""
        mine = [relay for relay in self.by_node.values() if relay.entry is not None and relay.entry.uid == uid]
        annotated = [relay.annotated_at_seconds for relay in mine]
        has_read = all(relay.entry is not None and relay.entry.generation == generation for relay in mine)
        return EditTimes(
            self._kubelet.published_at_seconds.get((uid, generation)),
            max(annotated) if annotated and min(annotated) >= since_seconds else None,
            max(relay.read_at_seconds for relay in mine) if mine and has_read else None,
        )

    def read(self, relay: FakeRelay, text: str) -> None:
        """Apply a new text of the relay's file, as the product's relay does."""
        relay.mounted = text
        relay.read_at_seconds = time.monotonic()
        try:
            relay.entry, relay.config_error = entry_of_node(text, relay.node), None
        except ContractError as error:
            relay.config_error = str(error)
        self.render(relay)
