"""The reflecting process's code as a library, as images have it, against the form that numba makes in development.

It needs a linker, as `make e2e` does, and no cluster.
"""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from control_messages import Item, pktinfo
from echo_line import OWN_PORT, Datagram, EchoLine, ancillary

from lab.bench.subjects.library_form import ECHO, with_library
from rtppool_core.compiled.build import build
from rtppool_core.rtp import echo_extension
from rtppool_echo.reflector.entry_points import ENTRY_POINTS
from rtppool_echo.reflector.library import Library
from rtppool_echo.reflector.memory import Rules
from rtppool_echo.reflector.sources import SOURCES
from rtppool_echo.rules.sender_table import HEADER_WORDS, SECRETS
from rtppool_testing.packets import rtp_packet
from rtppool_testing.ports import LOOPBACK, free_port

BATCHES = 2_000
TABLES = ("senders", "addresses", "streams")
# All that the code writes, apart from addresses.
COMPARED = (
    "counters",
    "state",
    *TABLES,
    "recent",
    "payloads",
    "envelopes",
    "answer_ancillary",
    "waiting",
    "new_senders",
)
RULES = (
    Rules(OWN_PORT, rate=50, rate_per_address=300),
    Rules(OWN_PORT, (ipaddress.ip_network("192.0.2.0/25"),), dscp=46, rate=100),
    Rules(OWN_PORT, rtp_only=False),
)
MAX_RSS_KB = 60_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    file = tmp_path_factory.mktemp("library") / "reflector.so"
    build(file, ENTRY_POINTS, SOURCES)
    return Library(file)


def datagram(chance: random.Random) -> Datagram:
    packet = bytearray(rtp_packet(chance.randrange(40)))
    if chance.random() < 0.4:
        packet[0] = echo_extension.FIRST_BYTE
        packet[12:12] = echo_extension.UNFILLED
    for _ in range(chance.choice([0, 0, 0, 1])):
        packet[chance.randrange(min(20, len(packet)))] = chance.randrange(256)
    size = chance.choice([len(packet)] * 9 + [chance.randrange(40)])
    host = f"192.0.{chance.choice([2, 2, 3])}.{chance.randrange(256)}"
    items: list[Item] = ancillary(chance.choice([64, 64, 255, 2, 1]), chance.randrange(256))
    if chance.random() < 0.05:
        items[0] = pktinfo(1, LOOPBACK, "192.0.2.255")
    if chance.random() < 0.05:
        del items[chance.randrange(3)]
    return bytes(packet[:size]), (host, chance.choice([10_000, 10_002, 53, 5060, OWN_PORT])), items


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rules", RULES)
def test_a_hundred_thousand_datagrams_leave_the_same_answers_and_the_same_memory(
    library: Library, rules: Rules
) -> None:
    chance = random.Random(7)
    of_numba, of_library = EchoLine(rules), EchoLine(rules, code=library)
    for name in TABLES:
        secrets = of_numba.memory.array(name)[SECRETS:HEADER_WORDS]
        of_library.memory.array(name)[SECRETS:HEADER_WORDS] = secrets
    for line in (of_numba, of_library):
        line.pause_ns, line.host_ns = 3_000_000, 10**6
    for _ in range(BATCHES):
        batch = [datagram(chance) for _ in range(chance.randrange(64))]
        sent_ns = of_numba.stamp_ns + chance.choice([1, 2_000_000, 2 * 10**9])
        assert of_library.answers(batch, sent_ns) == of_numba.answers(batch, sent_ns)
    for name in COMPARED:
        assert of_library.memory.array(name) == of_numba.memory.array(name), name
    assert min(of_numba.dropped()[reason] for reason in ("own_port", "privileged_port", "reflector_port")) > 0
    assert min(of_numba.dropped()[reason] for reason in ("hop_limit", "destination", "repeated")) > 0


@pytest.mark.timeout(120)
def test_an_echo_with_the_library_answers_with_neither_numba_nor_numpy(tmp_path: Path) -> None:
    library_form = with_library(tmp_path, ECHO)
    for name in ("numba", "llvmlite", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('an image has no compiler')")
    port = free_port()
    settings = {
        **library_form,
        "ECHO_BIND": LOOPBACK,
        "ECHO_PORT": str(port),
        "HTTP_BIND": LOOPBACK,
        "HTTP_PORT": str(free_port()),
    }
    echo = subprocess.Popen([sys.executable, "-m", "rtppool_echo"], env={**os.environ, **settings})
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.1)
            client.connect((LOOPBACK, port))
            answer = b""
            while not answer:
                client.send(rtp_packet(1))
                try:
                    answer = client.recv(2048)
                except (TimeoutError, ConnectionRefusedError):
                    assert echo.poll() is None
        (child,) = Path(f"/proc/{echo.pid}/task/{echo.pid}/children").read_text().split()
        (rss,) = (line for line in Path(f"/proc/{child}/status").read_text().splitlines() if line.startswith("VmRSS"))
    finally:
        echo.terminate()
        echo.wait()
    assert answer == rtp_packet(1)
    assert int(rss.split()[1]) < MAX_RSS_KB
