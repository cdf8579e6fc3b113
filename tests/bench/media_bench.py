"""CPU time per packet and round trip at the source: the whole relay against the least that a C relay can do.

Both are run in turn, in the same run, with the same echo and the same source; medians over rounds are compared, because
a single figure of a shared machine means little. The first round warms up and is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from rtppool_callgen.processes import Child, start
from rtppool_callgen.rtp_player import RtpPlayer
from rtppool_callgen.stand_in import StandIn

HERE = Path(__file__).parent
PRODUCT, REFERENCE = "rtp-pool relay", "C reference"
LOOPBACK = "127.0.0.1"
ECHO_PORT, ECHO_HTTP, RELAY_HTTP = 4900, 9991, 9990
FIRST_PORT = 21000
SETTLE_SECONDS = 1.0
PACKETS_PER_TRIP = 2  # one towards the echo, one back
READY_SECONDS = 20.0
NS_PER_US = 1000
NO_COMPILER = "bench: no C compiler (cc) for the reference program; install one, for example apt-get install gcc"


@dataclass(frozen=True, slots=True)
class Figure:
    """One candidate in one round. CPU time is of all its processes, per packet that it sent on, in µs."""

    cpu_us_per_packet: float
    returned_share: float


async def main(arguments: Sequence[str]) -> int:
    """Run the rounds and print the table; 0 unless packets were lost."""
    options = _parser().parse_args(arguments)
    console = Console()
    compiler = shutil.which("cc")
    if compiler is None:
        console.print(NO_COMPILER)
        return 2
    with tempfile.TemporaryDirectory(prefix="rtp-pool-bench-") as folder:
        program = await asyncio.to_thread(_compiled, compiler, Path(folder))
        found: dict[str, list[Figure]] = {PRODUCT: [], REFERENCE: []}
        for number in range(options.rounds + 1):
            for name, figures in found.items():
                product = name == PRODUCT
                figure = await (_product(Path(folder), options) if product else _reference(program, folder, options))
                console.print(
                    f"round {number or 'warm-up'}: {name}: {figure.cpu_us_per_packet:.1f} µs CPU per packet, "
                    f"{figure.returned_share:.2%} returned"
                )
                if number:
                    figures.append(figure)
    console.print(_table(found, options))
    return 0 if all(each.returned_share > 0.99 for figures in found.values() for each in figures) else 1


def _compiled(compiler: str, folder: Path) -> Path:
    program = folder / "relay"
    command = [compiler, "-O2", "-o", str(program), str(HERE / "reference/relay.c")]
    subprocess.run(command, check=True)  # noqa: S603 the machine's compiler on our own file
    return program


async def _product(folder: Path, options: argparse.Namespace) -> Figure:
    """Echo, relay and calls as `make run` has them."""
    async with _echo(folder), StandIn(LOOPBACK, 0, "bench", "bench") as stand_in:
        settings = {
            "ARI_URL": stand_in.url,
            "ARI_USER": "bench",
            "ARI_PASS": "bench",
            "BIND_IP": LOOPBACK,
            "ADVERTISE_IP": LOOPBACK,
            "PORT_RANGE": f"{FIRST_PORT}-{FIRST_PORT + options.calls - 1}",
            "ECHO_PORT": str(ECHO_PORT),
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": str(RELAY_HTTP),
        }
        relay = start("relay", ["rtppool_relay"], settings, folder)
        try:
            await _until_ready(relay, RELAY_HTTP)
            while not stand_in.switchboard.is_registered("rtp-pool"):
                await asyncio.sleep(0.05)
            callers = []
            for _ in range(options.calls):
                callers.append(stand_in.place_call("rtp-pool"))
                await asyncio.sleep(0.01)
            await asyncio.sleep(SETTLE_SECONDS)

            def counted() -> tuple[int, int]:
                pairs = [stand_in.packets(caller) for caller in callers]
                return sum(sent for sent, _ in pairs), sum(returned for _, returned in pairs)

            return await _measure(_family(relay.process.pid), counted, options.seconds)
        finally:
            await relay.end()


async def _reference(program: Path, folder: str, options: argparse.Namespace) -> Figure:
    async with _echo(Path(folder)), RtpPlayer() as player:
        ports = range(FIRST_PORT, FIRST_PORT + options.calls)
        legs = [player.open(str(port), (LOOPBACK, port)) for port in ports]
        process = await asyncio.create_subprocess_exec(
            program, str(ECHO_PORT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            lines = "".join(f"{port} {leg.local[1]}\n" for port, leg in zip(ports, legs, strict=True))
            if process.stdin is None or process.stdout is None:
                raise AssertionError("pipes were asked for")
            process.stdin.write(lines.encode())
            process.stdin.close()
            await process.stdout.readline()
            for port in ports:
                player.play(str(port))
                await asyncio.sleep(0.01)
            await asyncio.sleep(SETTLE_SECONDS)

            def counted() -> tuple[int, int]:
                return sum(leg.source.sent for leg in legs), sum(leg.source.returned for leg in legs)

            return await _measure([process.pid], counted, options.seconds)
        finally:
            process.kill()
            await process.wait()


async def _measure(pids: list[int], counted: Callable[[], tuple[int, int]], seconds: float) -> Figure:
    cpu_before, (sent_before, returned_before) = _cpu_ns(pids), counted()
    await asyncio.sleep(seconds)
    cpu_after, (sent, returned) = _cpu_ns(pids), counted()
    trips = returned - returned_before
    cpu_us = (cpu_after - cpu_before) / NS_PER_US
    return Figure(cpu_us / max(1, trips * PACKETS_PER_TRIP), trips / max(1, sent - sent_before))


@asynccontextmanager
async def _echo(folder: Path) -> AsyncIterator[None]:
    settings = {
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(ECHO_PORT),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(ECHO_HTTP),
    }
    child = start("echo", ["rtppool_echo"], settings, folder)
    try:
        await _until_ready(child, ECHO_HTTP)
        yield
    finally:
        await child.end()


async def _until_ready(child: Child, port: int) -> None:
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    async with aiohttp.ClientSession() as http:
        while asyncio.get_running_loop().time() < deadline:
            child.check()
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://{LOOPBACK}:{port}/ready") as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.1)
    raise TimeoutError(f"{child.name} was not ready within {READY_SECONDS:.0f} s")


def _family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def _cpu_ns(pids: list[int]) -> int:
    """CPU time of all threads of these processes (`/proc/PID/task/TID/schedstat`, first figure)."""
    return sum(
        int((Path(f"/proc/{pid}/task") / thread / "schedstat").read_text().split()[0])
        for pid in pids
        for thread in os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 names are enough
    )


def _table(found: dict[str, list[Figure]], options: argparse.Namespace) -> Table:
    title = f"{options.calls} calls, {options.rounds} rounds of {options.seconds:g} s, interleaved"
    table = Table("candidate", "CPU µs per packet", "spread", "ratio to C", "spread", title=title)
    reference = [figure.cpu_us_per_packet for figure in found[REFERENCE]]
    for name, figures in found.items():
        own = [figure.cpu_us_per_packet for figure in figures]
        ratios = [mine / theirs for mine, theirs in zip(own, reference, strict=True)]
        table.add_row(name, _median(own), _spread(own), _median(ratios), _spread(ratios))
    return table


def _median(values: list[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _spread(values: list[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="CPU time per packet, against a C reference program")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each round")
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
