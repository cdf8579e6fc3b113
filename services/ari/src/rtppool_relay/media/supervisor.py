"""Starts media processes, hands them sockets, and puts another in the place of a dead one, with its calls.

Control keeps a duplicate of every socket, so that no port is lost or stolen while a media process is down, and the
rows are in one memfd that outlives every media process. One process more than needed stands by: starting Python takes
longer than a call should be silent.

Packets go before figures: once the first processes run, `yield_to_media` makes the calling thread nicer. Media
processes are started by a thread of their own, which stays as it was: a process inherits its starter's niceness.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rtppool_core.process.scheduling import is_real_time
from rtppool_relay.media.launch import (
    FirstMediaProcess,
    command_sockets,
    make_rows,
    start_media_process,
)
from rtppool_relay.media.port_sockets import PortSockets
from rtppool_relay.media.rows import SLOT_BYTES, SLOTS, slot_offset


class MediaFault(Exception):  # noqa: N818 the field's word
    """The media side failed for a call that it had taken; the message says what and where."""


log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
PING_EVERY_SECONDS = 0.5
STARTING_SECONDS = 10.0
# The first process that ever runs this version here compiles the packet path and keeps it for all others.
COMPILING_SECONDS = 180.0
WAITING = "waiting for the first media process; where the packet path is not compiled yet, some ten seconds"
# The first restart is at once; one that dies young again waits.
FIRST_PAUSE_SECONDS = 0.01
MAX_PAUSE_SECONDS = 1.0
LONG_ENOUGH_UP_SECONDS = 5.0
STANDBY = -1
# A third of the weight: a media process that wakes goes first, and calls are still set up on a busy node.
CONTROL_NICENESS = 5
# As many as surely fit into a socket's buffer.
COMMANDS_AT_ONCE = 32


@dataclass(slots=True)
class Attachment:
    """A slot's sockets as the media process needs them again after a restart."""

    slot: int
    sockets: PortSockets
    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False


@dataclass(slots=True)
class _Worker:
    """A place for a process: `number` from 0 for those with calls, -1 for the one that stands by."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    commands: socket.socket | None = None
    attachments: dict[int, Attachment] = field(default_factory=dict)
    waiting: dict[int, asyncio.Future[None]] = field(default_factory=dict)
    answered_at_seconds: float = 0.0
    started_at_seconds: float = 0.0
    silent: bool = False
    pause_seconds: float = 0.0


class MediaSupervisor:
    """`workers` media processes over one memfd of rows. Use `start()` once, `close()` at the end.

    `first` is one that is being started already. `real_time`: they ask for real-time priority.
    """

    def __init__(self, workers: int, first: FirstMediaProcess | None = None, *, real_time: bool = False) -> None:
        self._rows_descriptor = make_rows() if first is None else first.rows_descriptor
        self._first = first
        self._real_time = real_time
        self.memory = mmap.mmap(self._rows_descriptor, SLOTS * SLOT_BYTES)
        self._workers = [_Worker(number) for number in range(workers)]
        self._standby = _Worker(STANDBY)
        self._gone: list[subprocess.Popen[bytes]] = []
        self._starter = ThreadPoolExecutor(1, "media-starter")
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self._next_id = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.restarts = 0

    @property
    def workers(self) -> int:
        """How many media processes there should be."""
        return len(self._workers)

    def workers_up(self) -> int:
        """How many answered a ping lately."""
        now = asyncio.get_running_loop().time()
        return sum(1 for worker in self._workers if now - worker.answered_at_seconds < 3 * PING_EVERY_SECONDS)

    def real_time(self) -> bool:
        """Whether all of them have real-time priority."""
        pids = [worker.process.pid for worker in self._workers if worker.process is not None]
        return bool(pids) and all(map(is_real_time, pids))

    async def start(self) -> None:
        """Start every process and wait until each with calls answers.

        Raises:
            MediaFault: one doesn't.
        """
        first, *others = self._workers
        if self._first is None:
            await self._spawn(first)
        else:
            first.process = self._first.process
            self._give_commands(first, self._first.commands)
        await self._until_compiled(first)
        for worker in (*others, self._standby):
            await self._spawn(worker)
        await asyncio.gather(
            *(self._ask(worker, {"do": "ping"}, timeout_seconds=STARTING_SECONDS) for worker in others)
        )
        self._keep(asyncio.create_task(self._ping_forever()))

    async def _until_compiled(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        patience = loop.call_later(ANSWER_SECONDS, log.info, WAITING)
        try:
            await self._ask(worker, {"do": "ping"}, timeout_seconds=COMPILING_SECONDS)
        finally:
            patience.cancel()

    def yield_to_media(self) -> None:
        """Make this thread nicer than the media processes, those to come included. Call it once, after `start`."""
        os.nice(CONTROL_NICENESS)

    def take_slot(self) -> int:
        """A cleared slot of rows.

        Raises:
            MediaFault: all are in use.
        """
        if not self._free_slots:
            raise MediaFault(f"all {SLOTS} slots of the shared rows are in use; no more calls fit into this relay")
        slot = self._free_slots.pop()
        offset = slot_offset(slot)
        self.memory[offset : offset + SLOT_BYTES] = bytes(SLOT_BYTES)
        return slot

    def give_slot_back(self, slot: int) -> None:
        """The slot's rows have been read for the last time."""
        self._free_slots.append(slot)

    def slots_in_use(self) -> frozenset[int]:
        """The slots that were taken and not given back."""
        return frozenset(range(SLOTS)).difference(self._free_slots)

    async def attach(self, attachment: Attachment) -> None:
        """Hand a call's two connected sockets to a media process; returns when it forwards.

        Raises:
            MediaFault: it does not answer.
        """
        worker = min(self._workers, key=lambda worker: len(worker.attachments))
        worker.attachments[attachment.slot] = attachment
        try:
            await self._add(worker, attachment)
        except MediaFault:
            worker.attachments.pop(attachment.slot, None)
            raise

    async def switch_echo(self, slot: int, another: socket.socket) -> None:
        """Send this slot's packets to another echo; answers of the old one still count until `forget_old_echo`."""
        worker = self._worker_of(slot)
        if worker is not None:
            await self._ask(worker, {"do": "echo", "slot": slot}, [another.fileno()])

    async def forget_old_echo(self, slot: int) -> None:
        """Close the media process's socket to the echo before the last switch."""
        worker = self._worker_of(slot)
        if worker is not None:
            await self._ask(worker, {"do": "forget_old_echo", "slot": slot})

    async def detach(self, slot: int) -> None:
        """Stop forwarding a slot. A process that is gone has stopped by itself."""
        worker = self._worker_of(slot)
        if worker is None:
            return
        del worker.attachments[slot]
        try:
            await self._ask(worker, {"do": "remove", "slot": slot})
        except MediaFault as fault:
            log.warning("media process did not confirm the end of a call", extra={"fields": {"reason": str(fault)}})

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Whatever is being started is to be ended as well.
        await asyncio.to_thread(self._starter.shutdown)
        for worker in (*self._workers, self._standby):
            self._hang_up(worker)
            self._part_with(worker)
        await self._reap()
        os.close(self._rows_descriptor)

    def _worker_of(self, slot: int) -> _Worker | None:
        return next((worker for worker in self._workers if slot in worker.attachments), None)

    async def _add(self, worker: _Worker, attachment: Attachment, timeout_seconds: float = ANSWER_SECONDS) -> None:
        command = {
            "do": "add",
            "slot": attachment.slot,
            "peer": list(attachment.peer),
            "tos": attachment.tos,
            "extend": attachment.extend,
        }
        sockets = attachment.sockets
        descriptors = [sockets.asterisk.fileno(), sockets.echo.fileno()]
        await self._ask(worker, command, descriptors, timeout_seconds)

    async def _spawn(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = command_sockets()
        self._give_commands(worker, ours)
        # Whoever gives up waiting: it is started all the same, and `close` waits for it.
        await asyncio.shield(loop.run_in_executor(self._starter, self._popen, worker, theirs))

    def _give_commands(self, worker: _Worker, commands: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        worker.commands = commands
        worker.started_at_seconds = loop.time()
        loop.add_reader(commands.fileno(), self._on_answer, worker)

    def _popen(self, worker: _Worker, theirs: socket.socket) -> None:
        worker.process = start_media_process(theirs, self._rows_descriptor, real_time=self._real_time)

    def _on_answer(self, worker: _Worker) -> None:
        if worker.commands is None:
            return
        try:
            message = worker.commands.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._on_death(worker)
            return
        worker.answered_at_seconds = asyncio.get_running_loop().time()
        answer = json.loads(message)
        future = worker.waiting.pop(answer["id"], None)
        if future is None or future.done():
            return
        if answer["error"] is None:
            future.set_result(None)
        else:
            future.set_exception(MediaFault(f"media process {worker.number}: {answer['error']}"))

    def _on_death(self, worker: _Worker) -> None:
        self._hang_up(worker)
        code = self._part_with(worker)
        if self._closing:
            return
        if worker is not self._standby:
            self.restarts += 1
            log.error(
                "a media process ended; another takes its calls",
                extra={"fields": {"worker": worker.number, "code": code, "calls": len(worker.attachments)}},
            )
        self._keep(asyncio.create_task(self._replace(worker)))

    async def _replace(self, worker: _Worker) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - worker.started_at_seconds > LONG_ENOUGH_UP_SECONDS:
            worker.pause_seconds = 0.0
        await asyncio.sleep(worker.pause_seconds)
        worker.pause_seconds = min(max(FIRST_PAUSE_SECONDS, 2 * worker.pause_seconds), MAX_PAUSE_SECONDS)
        # A process that is still being started belongs to its place until it is there.
        if worker is self._standby or self._standby.commands is None or self._standby.process is None:
            await self._spawn(worker)
        else:
            self._take_standby(worker)
        await self._add_all(worker)
        await self._reap()

    def _part_with(self, worker: _Worker) -> int | None:
        """Keep the process until it is reaped; its exit code if it has one already."""
        if worker.process is None:
            return None
        self._gone.append(worker.process)
        code, worker.process = worker.process.poll(), None
        return code

    async def _reap(self) -> None:
        while self._gone:
            await asyncio.to_thread(_wait_or_kill, self._gone[-1])
            self._gone = [process for process in self._gone if process.returncode is None]

    def _take_standby(self, worker: _Worker) -> None:
        """The process that stands by gets the worker's place; another is started to stand by."""
        loop, standby = asyncio.get_running_loop(), self._standby
        if standby.commands is None or standby.process is None:
            raise AssertionError("checked by the caller")
        loop.remove_reader(standby.commands.fileno())
        worker.process, worker.commands = standby.process, standby.commands
        worker.started_at_seconds = loop.time()
        loop.add_reader(worker.commands.fileno(), self._on_answer, worker)
        standby.process = standby.commands = None
        self._keep(asyncio.create_task(self._spawn(standby)))

    async def _add_all(self, worker: _Worker) -> None:
        attachments = list(worker.attachments.values())
        for at in range(0, len(attachments), COMMANDS_AT_ONCE):
            # A process that has just been started answers later.
            batch = attachments[at : at + COMMANDS_AT_ONCE]
            adding = (self._add(worker, attachment, STARTING_SECONDS) for attachment in batch)
            for outcome in await asyncio.gather(*adding, return_exceptions=True):
                if isinstance(outcome, MediaFault):
                    # A process that died again is replaced by its own end; one that refuses a call is worth a line.
                    log.error("a call could not be given to the new media process: %s", outcome)
                elif isinstance(outcome, BaseException):
                    raise outcome

    def _hang_up(self, worker: _Worker) -> None:
        if worker.commands is None:
            return
        asyncio.get_running_loop().remove_reader(worker.commands.fileno())
        worker.commands.close()
        worker.commands = None
        worker.answered_at_seconds = 0.0
        for future in worker.waiting.values():
            if not future.done():
                future.set_exception(MediaFault(f"media process {worker.number} ended"))
        worker.waiting.clear()

    async def _ask(
        self,
        worker: _Worker,
        command: dict[str, object],
        descriptors: list[int] | None = None,
        timeout_seconds: float = ANSWER_SECONDS,
    ) -> None:
        if worker.commands is None:
            raise MediaFault(f"media process {worker.number} is down; it is being started again")
        self._next_id += 1
        number = self._next_id
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        worker.waiting[number] = future
        try:
            socket.send_fds(worker.commands, [json.dumps({**command, "id": number}).encode()], descriptors or [])
            async with asyncio.timeout(timeout_seconds):
                await future
        except OSError as error:  # TimeoutError is one, too
            worker.waiting.pop(number, None)
            raise MediaFault(f"media process {worker.number} does not take commands: {error or 'no answer'}") from error

    async def _ping_forever(self) -> None:
        while True:
            for worker in self._workers:
                if worker.commands is not None:
                    await self._ping(worker)
            await asyncio.sleep(PING_EVERY_SECONDS)

    async def _ping(self, worker: _Worker) -> None:
        try:
            await self._ask(worker, {"do": "ping"})
        except MediaFault as fault:
            if not worker.silent:
                log.warning("%s", fault)
            worker.silent = True
        else:
            worker.silent = False

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
