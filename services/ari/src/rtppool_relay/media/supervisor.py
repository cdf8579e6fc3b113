"""Supervision of media processes: each keeps its calls, also when another process has to take its place.

The control process keeps a duplicate of every socket, so that no port is lost or stolen while a media process is down.
The rows are in one memfd that outlives every media process. One process more than needed stands by, because Python
takes longer to start than a call should be silent. A process that neither answers nor forwards is killed, so that the
standby takes its calls.

Packets go before figures: `yield_to_media` raises the niceness of the calling thread, and gives it long slices. Media
processes inherit both from the thread that starts them, so a separate thread starts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.scheduling import ask_for_long_slices, is_real_time
from rtppool_core.process.service import StartError
from rtppool_core.process.supervisor import Supervisor
from rtppool_relay.media.launch import FirstMediaProcess, command_sockets, make_rows, start_media_process
from rtppool_relay.media.media_process import ANSWER_SECONDS, MAX_MISSED_PINGS, MediaFault, MediaProcess
from rtppool_relay.media.port_sockets import PortSockets
from rtppool_relay.media.rows import read_ordinals, slot_offset
from rtppool_relay.media.sizes import SLOT_BYTES, SLOTS

PING_SECONDS = 0.5
# A process that misses so many pings is killed, if it forwards nothing either: its calls are silent for 4 s by then.
MAX_SILENT_PINGS = 4
# The same for one that has not answered yet: it may still be starting.
MAX_STARTING_PINGS = 30
START_SECONDS = 10.0
# The first process of a version on a host compiles the packet path and keeps it for all others.
COMPILE_SECONDS = 180.0
END_SECONDS = 1.0
# A third of the weight: a media process that wakes goes first, and calls are still set up on a busy node.
CONTROL_NICENESS = 5
HINT = "the whole error is shown by: python -m rtppool_relay.packets.machine_code"
# This many certainly fit into a socket's buffer.
MAX_CONCURRENT_COMMANDS = 32
# Kept: a block of this size for each call would leave holes all over the heap.
_CLEARED = bytes(SLOT_BYTES)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Attachment:
    """A slot's sockets and settings, as every media process needs them that takes the call."""

    slot: int
    sockets: PortSockets
    peer: tuple[str, int]
    tos: int = 0
    extend: bool = False

    @property
    def command(self) -> dict[str, object]:
        """The command that adds this call. The sockets go with it."""
        return {"do": "add", "slot": self.slot, "peer": list(self.peer), "tos": self.tos, "extend": self.extend}


class _Worker:
    """The calls of one media process. They outlive it; `supervisor` always provides the current one.

    `adding` are the slots whose command is under way or queued. `leaving` are those that the process was asked to
    remove, each with the functions to call when it has. `ordinals` are those of its calls' rows at the first ping
    without an answer.
    """

    def __init__(self, number: int, supervisor: Supervisor[MediaProcess]) -> None:
        self.number = number
        self.supervisor = supervisor
        self.attachments: dict[int, Attachment] = {}
        self.adding: set[int] = set()
        self.leaving: dict[int, list[Callable[[], None]]] = {}
        self.ordinals: dict[int, bytes] = {}

    @property
    def process(self) -> MediaProcess:
        """The process.

        Raises:
            MediaFault: none runs at the moment.
        """
        process = self.supervisor.process
        if process is None:
            raise MediaFault(f"media process {self.number} is down; another one is being started")
        return process


@dataclass(frozen=True, slots=True)
class _Sent:
    """A worker's calls when a ping was sent: the answer knows the commands that were sent before."""

    attachments: dict[int, Attachment]
    adding: frozenset[int]
    leaving: frozenset[int]


class MediaSupervisor:
    """`workers` media processes over one memfd of rows. Call `start()` once, and `close()` at the end.

    `first` is a process that is starting already. `real_time`: media processes ask for real-time priority.
    """

    def __init__(
        self,
        workers: int,
        first: FirstMediaProcess | None = None,
        jobs: PeriodicJobs | None = None,
        *,
        real_time: bool = False,
    ) -> None:
        self._rows_descriptor = make_rows() if first is None else first.rows_descriptor
        self._first = first
        self._first_is_ours = False
        self._compiled: MediaProcess | None = None
        self._jobs = jobs or PeriodicJobs()
        self._real_time = real_time
        self.memory = mmap.mmap(self._rows_descriptor, SLOTS * SLOT_BYTES)
        self._workers: list[_Worker] = []
        for number in range(workers):
            supervisor = Supervisor(partial(self._fill, number), partial(self._on_exit, number))
            self._workers.append(_Worker(number, supervisor))
        self._standby = Supervisor(self._start_process, self._on_standby_exit)
        self._starter = ThreadPoolExecutor(1, "media-starter")
        self._free_slots = list(range(SLOTS - 1, -1, -1))
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def workers(self) -> int:
        """The number of media processes that should run, without the standby."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """The ids of the running media processes, without the standby's."""
        return [worker.supervisor.process.pid for worker in self._workers if worker.supervisor.process is not None]

    @property
    def standby_pid(self) -> int | None:
        """The id of the process that stands by; None while it is being started."""
        return None if self._standby.process is None else self._standby.process.pid

    @property
    def restarts(self) -> int:
        """The restarts of all media processes, without the standby's."""
        return sum(worker.supervisor.restarts for worker in self._workers)

    def workers_up(self) -> int:
        """Return the number of media processes that answered one of the last pings."""
        processes = (worker.supervisor.process for worker in self._workers)
        return sum(process is not None and process.is_up for process in processes)

    def real_time(self) -> bool:
        """Return whether all media processes have real-time priority."""
        return bool(self.pids) and all(map(is_real_time, self.pids))

    async def start(self) -> None:
        """Start every process except the standby, and wait until each answers.

        The first process decides. Another one that can't be started is retried, and missing in `workers_up` meanwhile.

        Raises:
            StartError: the first process ends, or does not answer.
            OSError: the first process cannot be started.
        """
        first, *others = self._workers
        # Supervised after its first answer: another one would fail as it does.
        self._compiled = await self._start_compiled()
        await first.supervisor.start()
        for worker in others:
            await worker.supervisor.start_or_retry()
        for worker in self._workers:
            self._keep_pinging(worker)
        answers = (self._jobs.attempt("starting media processes", partial(_until_answered, each)) for each in others)
        await asyncio.gather(*answers)

    async def start_standby(self) -> None:
        """Start the standby. Call it once, after `start`, as soon as no call waits for a processor.

        Until then a media process that dies is replaced by a new one, which takes longer.
        """
        await self._standby.start_or_retry()
        self._keep_pinging(_Worker(len(self._workers), self._standby))

    def yield_to_media(self) -> None:
        """Make this thread give way to all media processes, present and future. Call it once, after `start_standby`.

        Otherwise the thread that starts media processes would begin like this. Sources and echoes on this machine are
        ordinary processes: with long slices this thread gives way to them as well, in the middle of a computation.
        """
        os.nice(CONTROL_NICENESS)
        ask_for_long_slices()

    def take_slot(self) -> int:
        """Return a cleared slot of rows.

        Raises:
            MediaFault: all are in use.
        """
        if not self._free_slots:
            raise MediaFault(f"all {SLOTS} slots of the shared rows are in use; no more calls fit into this relay")
        slot = self._free_slots.pop()
        offset = slot_offset(slot)
        # Written, not only absent: the packet path meets pages that are there.
        self.memory[offset : offset + SLOT_BYTES] = _CLEARED
        return slot

    def give_slot_back(self, slot: int) -> None:
        """Free a slot whose rows have been read for the last time. Its memory goes back to the kernel."""
        self._free_slots.append(slot)
        # Otherwise the largest number of calls at once would decide about the memory in use. Where the kernel refuses,
        # the rows stay until the slot is taken again.
        with contextlib.suppress(OSError):
            self.memory.madvise(mmap.MADV_REMOVE, slot_offset(slot), SLOT_BYTES)

    def slots_in_use(self) -> frozenset[int]:
        """Return the slots that were taken and not given back."""
        return frozenset(range(SLOTS)).difference(self._free_slots)

    async def attach(self, attachment: Attachment) -> None:
        """Hand a call's two connected sockets to the least loaded media process; return when it forwards.

        A failed attempt is undone: the process removes the slot, and `when_detached` waits for that.

        Raises:
            MediaFault: the process is down or does not answer.
        """
        worker = min(self._workers, key=lambda worker: len(worker.attachments))
        process, slot = worker.process, attachment.slot
        worker.attachments[slot] = attachment
        worker.adding.add(slot)
        try:
            await _add(process, attachment)
        except BaseException:
            worker.attachments.pop(slot, None)
            worker.leaving.setdefault(slot, [])
            with contextlib.suppress(MediaFault):
                process.post({"do": "remove", "slot": slot})
            raise
        finally:
            worker.adding.discard(slot)

    async def switch_echo(self, slot: int, another: socket.socket) -> None:
        """Send this slot's packets to another echo; the old one's answers count until `forget_old_echo`.

        Raises:
            MediaFault: the process is down or does not answer.
        """
        worker = self._worker_of(slot)
        if worker is not None:
            await worker.process.command({"do": "echo", "slot": slot}, [another.fileno()])

    async def forget_old_echo(self, slot: int) -> None:
        """Close the media process's sockets to former echoes.

        Raises:
            MediaFault: the process is down or does not answer.
        """
        worker = self._worker_of(slot)
        if worker is not None:
            await worker.process.command({"do": "forget_old_echo", "slot": slot})

    async def detach(self, slot: int) -> None:
        """Stop forwarding a slot. A process that does not answer is logged, and asked again with each ping."""
        worker = self._worker_of(slot)
        if worker is None:
            return
        del worker.attachments[slot]
        worker.leaving.setdefault(slot, [])
        try:
            await worker.process.command({"do": "remove", "slot": slot})
        except MediaFault as fault:
            log.warning("media process did not confirm the end of a call", extra={"fields": {"reason": str(fault)}})
        else:
            _end_leaving(worker, slot)

    def when_detached(self, slot: int, release: Callable[[], None]) -> None:
        """Call `release` as soon as no media process holds the slot's sockets: now, or after it has removed them."""
        worker = next((worker for worker in self._workers if slot in worker.leaving), None)
        if worker is None:
            release()
        else:
            worker.leaving[slot].append(release)

    async def close(self) -> None:
        """End every process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers = (worker.supervisor.close(END_SECONDS) for worker in self._workers)
        # By force: it has no calls, and reads its commands only after its imports.
        await asyncio.gather(*workers, self._standby.close(0))
        await asyncio.to_thread(self._starter.shutdown)
        os.close(self._rows_descriptor)
        if self._first is not None:
            os.close(self._first.errors_descriptor)

    def _keep_pinging(self, worker: _Worker) -> None:
        pings = self._jobs.repeat("pinging media processes", PING_SECONDS, partial(self._ping, worker))
        self._tasks.add(asyncio.create_task(pings))

    def _worker_of(self, slot: int) -> _Worker | None:
        return next((worker for worker in self._workers if slot in worker.attachments), None)

    async def _fill(self, number: int) -> MediaProcess:
        """Return the standby, or a new process where none stands by, and give it the worker's calls."""
        process = self._standby.release() or await self._start_process()
        worker = self._workers[number]
        self._restore(worker, process, list(worker.attachments.values()))
        return process

    async def _start_process(self) -> MediaProcess:
        compiled, self._compiled = self._compiled, None
        if compiled is not None:
            return compiled
        if self._first is not None and not self._first_is_ours:
            self._first_is_ours = True
            return MediaProcess(self._first.process, self._first.commands)
        ours, theirs = command_sockets()
        start = partial(start_media_process, theirs, self._rows_descriptor, real_time=self._real_time)
        try:
            process = await asyncio.get_running_loop().run_in_executor(self._starter, start)
        except BaseException:
            ours.close()
            raise
        return MediaProcess(process, ours)

    def _on_exit(self, number: int, code: int) -> None:
        worker = self._workers[number]
        fields: dict[str, object] = {"worker": number, "code": code, "calls": len(worker.attachments)}
        if self._first is not None and (errors := self._first.take_errors()):
            fields["errors"] = errors
        for slot in list(worker.leaving):
            _end_leaving(worker, slot)
        log.error("a media process ended; another takes its calls", extra={"fields": fields})

    def _on_standby_exit(self, code: int) -> None:
        log.warning("the media process that stood by ended; another is started", extra={"fields": {"code": code}})

    async def _start_compiled(self) -> MediaProcess:
        starting = asyncio.ensure_future(self._start_process())
        try:
            # Shielded: a process that is being started is not lost when the wait for it is cancelled.
            process = await asyncio.shield(starting)
            await self._until_compiled(process)
        except BaseException as error:
            await (await starting).end(END_SECONDS)
            if isinstance(error, MediaFault):
                cause = self._last_line_of_first() or error
                raise StartError(f"the first media process can't start: {cause}; {HINT}") from error
            raise
        return process

    def _last_line_of_first(self) -> str:
        """Return the last line of the first process's errors; empty without one."""
        lines = self._first.take_errors().splitlines() if self._first is not None else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    async def _until_compiled(self, process: MediaProcess) -> None:
        patience = asyncio.get_running_loop().call_later(
            ANSWER_SECONDS,
            log.info,
            "waiting for the first media process; compiling the packet path takes some ten seconds, once",
        )
        try:
            await process.command({"do": "ping"}, (), COMPILE_SECONDS)
        finally:
            patience.cancel()

    def _restore(self, worker: _Worker, process: MediaProcess, attachments: list[Attachment]) -> None:
        """Give calls to a process that lacks them. A call that it does not take is found with the next ping."""
        worker.adding.update(attachment.slot for attachment in attachments)
        work = partial(self._add_all, worker, process, attachments)
        task = asyncio.create_task(self._jobs.attempt("restoring calls", work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add_all(self, worker: _Worker, process: MediaProcess, attachments: list[Attachment]) -> None:
        try:
            for at in range(0, len(attachments), MAX_CONCURRENT_COMMANDS):
                # A call may have ended while the batch before was added.
                batch = [
                    attachment
                    for attachment in attachments[at : at + MAX_CONCURRENT_COMMANDS]
                    if worker.attachments.get(attachment.slot) is attachment
                ]
                # A process that has just been started answers later.
                adding = (_add(process, attachment, START_SECONDS) for attachment in batch)
                for outcome in await asyncio.gather(*adding, return_exceptions=True):
                    if isinstance(outcome, MediaFault):
                        log.error("a call could not be given to the new media process: %s", outcome)
                    elif isinstance(outcome, BaseException):
                        raise outcome
        finally:
            worker.adding.difference_update(attachment.slot for attachment in attachments)

    async def _ping(self, worker: _Worker) -> None:
        process = worker.supervisor.process
        if process is None:
            return
        before = _Sent(dict(worker.attachments), frozenset(worker.adding), frozenset(worker.leaving))
        try:
            held = await process.ping()
        except MediaFault as fault:
            if worker.supervisor.process is process:
                self._note_silence(worker, process, fault)
            return
        if worker.supervisor.process is process:
            self._resolve_differences(worker, process, before, held)

    def _note_silence(self, worker: _Worker, process: MediaProcess, fault: MediaFault) -> None:
        """Kill a process that neither answers nor forwards. One that lacks memory for commands may still forward."""
        ordinals = {slot: read_ordinals(self.memory, slot) for slot in worker.attachments}
        if process.missed_pings == 1:
            worker.ordinals = ordinals
        if process.missed_pings == MAX_MISSED_PINGS:
            log.warning("%s", fault)
        max_pings = MAX_SILENT_PINGS if process.has_answered else MAX_STARTING_PINGS
        forwards = any(ordinals.get(slot, before) != before for slot, before in worker.ordinals.items())
        if process.missed_pings < max_pings or forwards or not self._can_replace(worker):
            return
        fields = {"pid": process.pid, "pings": process.missed_pings, "calls": len(worker.attachments)}
        log.error("a media process neither answers nor forwards; it is killed", extra={"fields": fields})
        process.kill()

    def _can_replace(self, worker: _Worker) -> bool:
        """Return whether another process answers that can take the calls. The standby has none."""
        standby = self._standby.process
        return worker.supervisor is self._standby or (standby is not None and standby.is_up)

    def _resolve_differences(self, worker: _Worker, process: MediaProcess, before: _Sent, held: frozenset[int]) -> None:
        """Repeat the commands that the process has not carried out, as the slots that it holds show."""
        for slot in before.leaving - held:
            _end_leaving(worker, slot)
        for slot in held - before.attachments.keys() - worker.attachments.keys():
            with contextlib.suppress(MediaFault):
                process.post({"do": "remove", "slot": slot})
        under_way = held | before.adding | worker.adding
        missing = [
            attachment
            for slot, attachment in before.attachments.items()
            if slot not in under_way and worker.attachments.get(slot) is attachment
        ]
        if missing:
            self._restore(worker, process, missing)


async def _until_answered(worker: _Worker) -> None:
    await worker.process.command({"do": "ping"}, (), START_SECONDS)


def _end_leaving(worker: _Worker, slot: int) -> None:
    for release in worker.leaving.pop(slot, ()):
        release()


async def _add(process: MediaProcess, attachment: Attachment, timeout_seconds: float = ANSWER_SECONDS) -> None:
    descriptors = [attachment.sockets.asterisk.fileno(), attachment.sockets.echo.fileno()]
    await process.command(attachment.command, descriptors, timeout_seconds)
