"""A relay with the stand-in's calls behind a scripted echo, as processes on loopback."""

from __future__ import annotations

import base64
import contextlib
import heapq
import itertools
import os
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rtppool_testing.ports import free_port, free_range

LOOPBACK = "127.0.0.1"
START_SECONDS = 60
END_SECONDS = 20
PASSWORD = "stand-in"
# A thread of the tests' process may stand still for a second.
ROOM_BYTES = 4 << 20
KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")


class ScriptedEcho:
    """Returns each datagram after `delay_seconds`, but for a `loss` share of them. Both may change at any time."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.loss = 0.0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_BYTES)
        self._socket.bind((LOOPBACK, 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted echo", daemon=True)
        self._thread.start()

    def restore(self) -> None:
        """Return every datagram at once again."""
        self.delay_seconds = self.loss = 0.0

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        chance, order = random.Random(1), itertools.count()
        waiting: list[tuple[float, int, bytes, tuple[str, int]]] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._ended.is_set():
                pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
                selector.select(min(pause, 0.1))
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while True:
                        data, address = self._socket.recvfrom(2048)
                        if chance.random() >= self.loss:
                            due = time.monotonic() + self.delay_seconds
                            heapq.heappush(waiting, (due, next(order), data, address))
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, data, address = heapq.heappop(waiting)
                    with contextlib.suppress(OSError):
                        self._socket.sendto(data, address)


@dataclass
class Rig:
    """One relay. `calls` are placed by the stand-in, which places a new one for each that ends."""

    folder: Path
    calls: int
    ports: int = 101
    echo: ScriptedEcho = field(default_factory=ScriptedEcho)
    http_port: int = field(default_factory=free_port)
    ari_port: int = field(default_factory=free_port)
    relay: subprocess.Popen[bytes] | None = None
    stand_in: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.range = free_range(self.ports)

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    def start_relay(self) -> None:
        settings = {
            "ARI_URL": f"http://{LOOPBACK}:{self.ari_port}/ari",
            "ARI_USER": "rtp-pool",
            "ARI_PASS": PASSWORD,
            "BIND_IP": LOOPBACK,
            "ADVERTISE_IP": LOOPBACK,
            "PORT_RANGE": str(self.range),
            "ADMISSION": "off",
            "ECHO_HOST": LOOPBACK,
            "ECHO_PORT": str(self.echo.port),
            "DRAIN_GRACE_SEC": "0",
            "HTTP_BIND": LOOPBACK,
            "HTTP_PORT": str(self.http_port),
        }
        self.relay = self._start("relay", ["rtppool_relay"], settings)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/ready", timeout=2).close()  # noqa: S310 our own relay
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                assert self.relay.poll() is None, (self.folder / "relay.log").read_text()
                assert time.monotonic() < deadline, f"{self.address}/ready is not served"
                time.sleep(0.1)
            else:
                return

    def start_stand_in(self) -> None:
        callers = ["--calls", str(self.calls)]
        arguments = ["rtppool_callgen", "serve", "--bind", LOOPBACK, "--port", str(self.ari_port), *callers]
        self.stand_in = self._start("stand-in", arguments, {"ARI_USER": "rtp-pool", "ARI_PASS": PASSWORD})

    def hang_up(self, channel: str) -> None:
        """End a caller's call, as the caller would."""
        address = f"http://{LOOPBACK}:{self.ari_port}/ari/channels/{channel}"
        credentials = base64.b64encode(f"rtp-pool:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(address, method="DELETE", headers={"Authorization": f"Basic {credentials}"})
        urllib.request.urlopen(request, timeout=5).close()  # noqa: S310

    def kill_relay(self) -> None:
        """End the relay at once, as a fault would."""
        if self.relay is not None:
            self.relay.kill()
            self.relay.wait(END_SECONDS)

    def _start(self, name: str, arguments: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
        kept = {key: os.environ[key] for key in KEPT if key in os.environ}
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", *arguments]
            return subprocess.Popen(command, env=kept | settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@contextlib.contextmanager
def running(folder: Path, calls: int, ports: int = 101) -> Iterator[Rig]:
    """Yield a relay that is ready, with `calls` calls on their way."""
    rig = Rig(folder, calls, ports)
    try:
        if calls:
            rig.start_stand_in()
        rig.start_relay()
        yield rig
    finally:
        for process in (rig.stand_in, rig.relay):
            if process is not None:
                process.terminate()
                process.wait(END_SECONDS)
        rig.echo.close()
