"""Leases and releases with kill -9 in between, while strangers hold ports: none twice, none lost, capacity exact.

`python -m lab.faults.calls.ports.ports --operations 100000`.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.base.errors import LabError
from lab.faults.calls.ports import port_user
from rtppool_core.contract.port_range import PortRange
from rtppool_relay.media.port_sockets import can_bind

PORTS = 101
OPERATIONS_A_LIFE = (50, 150)
MAX_STRANGERS = 12
SEARCHED = range(11_000, 30_000, PORTS)


@dataclass(slots=True)
class PortsResult:
    """The result of a run.

    `operations` counts the random leases and releases before each kill. `leases` and `releases` count all, including
    those of each process's first filling.
    """

    operations: int = 0
    leases: int = 0
    releases: int = 0
    kills: int = 0
    leased_when_killed: int = 0
    double: int = 0
    leaked: int = 0
    wrong_capacity: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def find(self, what: str) -> None:
        """Note a finding; the first twenty are enough."""
        if len(self.findings) < 20:
            self.findings.append(what)


def run(operations: int, seed: int = 1) -> PortsResult:
    """Run so many leases and releases in one process after another, each killed after about a hundred.

    Raises:
        LabError: no range of ports is free, or a process does not come up.
    """
    chance, result, began = random.Random(seed), PortsResult(), time.monotonic()
    ports = _free_range()
    while result.operations < operations:
        strangers = set(chance.sample(list(ports), chance.randint(0, MAX_STRANGERS)))
        with _held_by_strangers(strangers):
            _live(ports, strangers, chance, result)
    result.seconds = round(time.monotonic() - began, 1)
    return result


def _live(ports: PortRange, strangers: set[int], chance: random.Random, result: PortsResult) -> None:
    """Run one process until its kill. At its start it must find every port that no stranger holds."""
    life = _Life(ports, strangers, result)
    with _user(ports, chance.randrange(1 << 30)) as process:
        _check_capacity(process, ports, life, result)
        for _ in range(chance.randint(*OPERATIONS_A_LIFE)):
            life.note(_line(process))
        process.kill()
        life.counts = False
        for line in process.stdout or ():
            if line.endswith("\n"):
                life.note(line)
    result.kills += 1
    result.leased_when_killed += len(life.leased)


class _Life:
    """The ports that one process reports as leased."""

    def __init__(self, ports: PortRange, strangers: set[int], result: PortsResult) -> None:
        self._ports = ports
        self.strangers = strangers
        self._result = result
        self.leased: set[int] = set()
        self.counts = False

    def note(self, line: str) -> None:
        word, _, number = line.strip().partition(" ")
        port, result = int(number or 0), self._result
        if word == "lease":
            result.operations += self.counts
            result.leases += 1
            if port in self.leased or port in self.strangers or port not in self._ports:
                result.double += 1
                result.find(f"port {port} was leased while another holder had it")
            self.leased.add(port)
        elif word == "release":
            result.operations += self.counts
            result.releases += 1
            self.leased.discard(port)
        elif word == "aside" and port not in self.strangers:
            result.leaked += 1
            result.find(f"port {port} could not be bound, and no holder is known")


def _check_capacity(process: subprocess.Popen[str], ports: PortRange, life: _Life, result: PortsResult) -> None:
    while not (line := _line(process)).startswith("full "):
        life.note(line)
    capacity, expected = int(line.split()[1]), PORTS - len(life.strangers)
    if capacity != expected or len(life.leased) != expected:
        result.wrong_capacity += 1
        result.find(f"{capacity} ports were available with {PORTS - expected} held by strangers; expected {expected}")
    open_ports = [port for port in ports if can_bind(port_user.ADDRESS, port) is None]
    if open_ports:
        result.double += len(open_ports)
        result.find(f"ports {open_ports} are leased, and a stranger can still bind them")
    if process.stdin is not None:
        process.stdin.write("go on\n")
        process.stdin.flush()
    while (line := _line(process)) != "cleared\n":
        life.note(line)
    life.counts = True


@contextmanager
def _user(ports: PortRange, seed: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(Path(port_user.__file__)), str(ports.start), str(ports.end), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line.endswith("\n"):
        raise LabError("the process that leases ports ended by itself; its message is above")
    return line


@contextmanager
def _held_by_strangers(ports: set[int]) -> Iterator[None]:
    with ExitStack() as stack:
        for port in sorted(ports):
            stranger = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            stranger.bind((port_user.ADDRESS, port))
        yield


def _free_range() -> PortRange:
    for start in SEARCHED:
        if not any(can_bind(port_user.ADDRESS, port) for port in range(start, start + PORTS)):
            return PortRange(start, start + PORTS - 1)
    raise LabError(f"no {PORTS} ports in a row are free from {SEARCHED.start} to {SEARCHED.stop}")


def main() -> int:
    """Print the figures as JSON; return 1 after a finding."""
    parser = argparse.ArgumentParser(prog="lab.faults.calls.ports.ports", description=__doc__)
    parser.add_argument("--operations", type=int, default=100_000, help="number of leases and releases (100000)")
    parser.add_argument("--seed", type=int, default=1, help="random seed (1)")
    options = parser.parse_args()
    result = run(options.operations, options.seed)
    print(json.dumps(asdict(result), indent=1))
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
