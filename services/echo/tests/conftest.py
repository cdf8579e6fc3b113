from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest

from rtppool_core.process.service import Stop
from rtppool_echo.app import Echo
from rtppool_echo.settings import Settings
from rtppool_testing.sockets import udp_socket
from rtppool_testing.waiting import until


class Client:
    """A caller's UDP socket: sends, and waits for the answer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, data: bytes, host: str, port: int) -> None:
        self.sock.sendto(data, (host, port))

    async def receive(self, seconds: float = 5) -> tuple[bytes, tuple[str, int]]:
        async with asyncio.timeout(seconds):
            data, address = await asyncio.get_running_loop().sock_recvfrom(self.sock, 65_535)
        return data, (address[0], address[1])

    async def receive_tos(self, level: int, kind: int) -> int:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self.sock, future.set_result, None)
        try:
            async with asyncio.timeout(30):
                await future
        finally:
            asyncio.get_running_loop().remove_reader(self.sock)
        _data, ancillary, _flags, _address = self.sock.recvmsg(65_535, 100)
        return next(data[0] for (of, what, data) in ancillary if (of, what) == (level, kind))


class RunningEcho:
    """An echo that serves, and how to ask it."""

    def __init__(self, echo: Echo) -> None:
        self.echo = echo

    @property
    def port(self) -> int:
        return self.echo.udp_port

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.echo.http_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def metric(self, sample: str) -> float:
        _status, text = await self.get("/metrics")
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(sample + " "))

    async def metric_reaches(self, sample: str, value: float) -> None:
        await until(lambda: self._is(sample, value), f"{sample} to be {value}")

    async def has_counted(self, sent: int) -> None:
        """Every datagram is either answered or dropped with a reason, and none twice."""
        async with asyncio.timeout(30):
            while (counted := self._counted()) != sent:
                assert counted < sent
                await asyncio.sleep(0.001)

    def _counted(self) -> int:
        figures = self.echo._counters.total()
        return figures.answered_packets + sum(figures.dropped.values())

    async def _is(self, sample: str, value: float) -> bool:
        return await self.metric(sample) == value


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[RunningEcho]:
    echo, stop = Echo(settings), Stop()
    task = asyncio.create_task(echo.run(stop))
    try:
        asked = RunningEcho(echo)

        async def is_ready() -> bool:
            if task.done():
                task.result()
            return echo.http_port != 0 and (await asked.get("/ready"))[0] == 200

        await until(is_ready, "the echo to be ready")
        yield asked
    finally:
        stop.request()
        await task


@pytest.fixture
def run_echo() -> Callable[[Settings], contextlib.AbstractAsyncContextManager[RunningEcho]]:
    return running


@pytest.fixture
def settings() -> Settings:
    return Settings(echo_bind="0.0.0.0", echo_port=0, http_bind=("127.0.0.1",), http_port=0)


@pytest.fixture
def client() -> Iterator[Client]:
    with udp_client("127.0.0.1") as made:
        yield made


@contextlib.contextmanager
def udp_client(address: str) -> Iterator[Client]:
    with udp_socket(address) as sock:
        yield Client(sock)


@pytest.fixture
def connect() -> Callable[[str], contextlib.AbstractContextManager[Client]]:
    return udp_client
