"""Real relay processes that share an Asterisk, advertise other addresses, and change range and echo under calls."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace
from relay_process import APPLICATION, NODE, RelayProcess, relay_process, relay_settings, talking

from rtppool_callgen.stand_in.stand_in import StandIn
from rtppool_core.contract.pools_file import EchoTarget, NodeAssignment, PoolEntry, PoolsDocument, encode
from rtppool_core.contract.port_range import PortRange
from rtppool_relay.calls.ids import CallIds
from rtppool_testing.echo import echo
from rtppool_testing.ports import LOOPBACK, free_range
from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
# Player, echo and callers share the loop of a test with many others beside it. Answers after 2 s count as lost.
CALLS = 5


async def hung_up(stand_in: StandIn) -> None:
    for caller in stand_in.callers():
        stand_in.hang_up(caller)
    await until(lambda: not stand_in.switchboard.channels and not stand_in.switchboard.bridges, "nothing is left")


async def test_two_relays_share_an_asterisk_by_an_application_of_each_node_s_own(
    stand_in: StandIn, tmp_path: Path
) -> None:
    async with echo() as echo_port:
        first_range = free_range(4)
        ranges = {"node-1": first_range, "node-2": free_range(4, beside=first_range)}
        settings = {
            node: relay_settings(stand_in, echo_port, ports, NODE_NAME=node, APP_PER_NODE="true")
            for node, ports in ranges.items()
        }
        async with (
            relay_process(settings["node-1"], tmp_path / "1.log") as first,
            relay_process(settings["node-2"], tmp_path / "2.log") as second,
        ):
            await until(first.connected, "the first takes calls")
            await until(second.connected, "the second takes calls")
            callers = {node: stand_in.place_call(f"{APPLICATION}-{node}") for node in ranges}
            await talking(stand_in, list(callers.values()))
            for relay, node in ((first, "node-1"), (second, "node-2")):
                (live,) = (await relay.get("/calls"))["live"]
                assert live["channelId"] == callers[node]
                assert live["port"] in ranges[node]
            await first_is_killed_and_comes_back(first, settings["node-1"], stand_in, callers, tmp_path)
            assert (await second.calls())["endedBy"] == {"callerGone": 1}
            assert (await second.get("/status"))["ari"]["reconnects"] == 0


async def first_is_killed_and_comes_back(
    first: RelayProcess, settings: dict[str, str], stand_in: StandIn, callers: dict[str, str], tmp_path: Path
) -> None:
    """Check that the relay takes back its own call and leaves the other's alone."""
    first.signal(signal.SIGKILL)
    await first.exit_code()
    async with relay_process(settings, tmp_path / "1.log") as again:
        await talking(stand_in, list(callers.values()))

        async def adopted() -> bool:
            return (await again.calls())["adopted"] == 1

        await until(adopted, "its call is adopted")
        assert (await again.calls())["orphansDeleted"] == 0
        await hung_up(stand_in)


@pytest.mark.parametrize(
    ("bind", "advertise"), [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("127.0.0.2", "127.0.0.2")]
)
async def test_asterisk_gets_another_address_than_the_bound_one(
    stand_in: StandIn, tmp_path: Path, bind: str, advertise: str
) -> None:
    async with echo() as echo_port:
        settings = relay_settings(stand_in, echo_port, free_range(2, bind), BIND_IP=bind, ADVERTISE_IP=advertise)
        async with relay_process(settings, tmp_path / "relay.log") as relay:
            await until(relay.connected, "the relay takes calls")
            caller = stand_in.place_call(APPLICATION)
            await talking(stand_in, [caller], packets=20)
            leg = stand_in.player.leg(CallIds.of_relay(NODE, APPLICATION).media(caller))
            assert leg is not None
            assert leg.peer[0] == advertise
            await hung_up(stand_in)


async def test_everything_may_be_ipv6(tmp_path: Path) -> None:
    async with StandIn("::1", 0, "relay", "secret") as asterisk, echo("::1") as echo_port:
        assert asterisk.url.startswith("http://[::1]:")
        settings = relay_settings(
            asterisk,
            echo_port,
            free_range(2, "::1"),
            BIND_IP="::",
            ADVERTISE_IP="::1",
            ECHO_HOST="::1",
        )
        async with relay_process(settings, tmp_path / "relay.log") as relay:
            await until(relay.connected, "the relay takes calls")
            caller = asterisk.place_call(APPLICATION)
            await talking(asterisk, [caller], packets=20)
            (live,) = (await relay.get("/calls"))["live"]
            assert live["asterisk"].startswith("[::1]:")
            media = asterisk.switchboard.channels[CallIds.of_relay(NODE, APPLICATION).media(caller)]
            assert media.name.startswith(f"UnicastRTP/[::1]:{live['port']}-")
            await hung_up(asterisk)
            status = await relay.get("/status")
            assert status["echo"]["resolvedAddress"] == f"[::1]:{echo_port}"


def pool(ports: PortRange, echo_port: int, generation: int) -> PoolEntry:
    return PoolEntry(
        name="default",
        namespace="voice",
        uid="00000000-0000-0000-0000-000000000001",
        generation=generation,
        nodes=(NodeAssignment(NODE, LOOPBACK),),
        port_range=ports,
        echo=EchoTarget(LOOPBACK, echo_port),
    )


def write(path: Path, entry: PoolEntry) -> None:
    """Replace the file as the kubelet does, never by half."""
    draft = path.with_suffix(".draft")
    draft.write_text(encode(PoolsDocument((entry,))))
    draft.replace(path)


async def test_another_range_and_another_echo_under_live_calls_lose_no_packet(
    stand_in: StandIn, tmp_path: Path
) -> None:
    pools = tmp_path / "pools.json"
    async with echo() as echo_port, echo() as other_echo_port:
        old_range = free_range(CALLS + 5)
        new_range = free_range(CALLS + 5, beside=old_range)
        entry = pool(old_range, echo_port, 1)
        write(pools, entry)
        settings = relay_settings(stand_in, echo_port, old_range, POOL_CONFIG=str(pools))
        async with relay_process(settings, tmp_path / "relay.log") as relay:
            await until(relay.connected, "the relay takes calls")
            callers = [stand_in.place_call(APPLICATION) for _ in range(CALLS)]
            await talking(stand_in, callers)

            write(pools, replace(entry, port_range=new_range, generation=2))
            await applied(relay, 2)
            await talking(stand_in, callers, packets=20)
            status = await relay.get("/status")
            assert (status["ports"]["range"], status["ports"]["draining"]) == (str(new_range), CALLS)
            newcomer = stand_in.place_call(APPLICATION)
            await talking(stand_in, [newcomer])
            ports = {call["channelId"]: call["port"] for call in (await relay.get("/calls"))["live"]}
            assert ports[newcomer] in new_range
            assert all(ports[caller] in old_range for caller in callers)

            write(pools, replace(entry, port_range=new_range, echo=EchoTarget(LOOPBACK, other_echo_port), generation=3))
            await applied(relay, 3)
            await talking(stand_in, [*callers, newcomer], packets=20)
            assert (await relay.get("/status"))["echo"]["port"] == other_echo_port
            await until(
                lambda: "live calls send to another echo" in (tmp_path / "relay.log").read_text(), "the log says so"
            )

            for media in list(stand_in._media_of.values()):
                stand_in.player.pause(media)
            await until(
                lambda: all(sent == returned for sent, returned in map(stand_in.packets, [*callers, newcomer])),
                "every packet that was sent has come back: "
                + json.dumps({caller: stand_in.packets(caller) for caller in callers}),
            )
            assert (await relay.calls())["ended"] == 0
            await hung_up(stand_in)


async def applied(relay: RelayProcess, generation: int) -> None:
    async def is_applied() -> bool:
        status = await relay.get("/status")
        return bool(status) and status.get("appliedGeneration") == generation

    await until(is_applied, f"generation {generation} is applied")
