"""The acceptor of HTTP connections, for a port that strangers reach.

aiohttp and asyncio accept connections without a limit, and at the limit of open files asyncio logs without end. Here
the number of connections is bounded, and a new connection closes the one that is least likely to be missed. A flood of
idle connections thus never shuts out the kubelet's probe. Some descriptors are reserved for HTTP, so that it answers
while the rest of the process has none left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from rtppool_core.net.small_reads import SmallReads

MAX_CONNECTIONS = 64
MIN_CONNECTIONS = 8
# Calls need most descriptors, so HTTP gets this part of the limit at most.
LIMIT_PART = 8
RESERVED_DESCRIPTORS = 8
# A connection whose request has arrived is served before this many newer ones can displace it.
MAX_ACCEPTS_A_TURN = 8
RETRY_ACCEPT_SECONDS = 0.1
SWEEP_SECONDS = 1.0
REPORT_SECONDS = 60.0
# For the header of a request from the moment of connecting, and between two requests.
MAX_IDLE_SECONDS = 10.0
# For a request, its answer, and the client's reading of it.
MAX_REQUEST_SECONDS = 30.0
# The time for the rest of a body that no handler reads.
MAX_LINGER_SECONDS = 1.0
MAX_LINE_BYTES = 8190
MAX_HEADERS = 128
MAX_REASON_CHARACTERS = 200
# A connection without unread input, of the lowest rank.
NOT_MISSED = (False, 0)

log = logging.getLogger(__name__)


def max_connections(descriptor_limit: int) -> int:
    """Return the number of connections that a process with this limit of open files accepts."""
    if descriptor_limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, descriptor_limit // LIMIT_PART))


def note_progress(request: web.BaseRequest) -> None:
    """Note that the client of an answer without an end has read: the answer may last on. Call it after each part."""
    if isinstance(request.protocol, _Connection):
        request.protocol.note_progress()


class BoundedSite(web.BaseSite):
    """Accepts connections of listening sockets for a runner's server. `runner.cleanup()` stops it.

    All bounds apply to the connections of all sockets together.
    """

    def __init__(
        self, runner: web.AppRunner, listeners: Sequence[socket.socket], tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        super().__init__(runner)
        self._tls = tls
        self._listeners = tuple(listeners)
        self._is_serving = True
        # A turn of the loop calls `_accept` once for each socket.
        self._max_accepts = max(1, MAX_ACCEPTS_A_TURN // len(self._listeners))
        self._manager = cast("web.Server", runner.server)
        self._loop = asyncio.get_running_loop()
        self._max_connections = max_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._connections: dict[_Connection, None] = {}
        self._set_up: set[asyncio.Task[None]] = set()
        self._reserve: list[int] = []
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._displaced = 0
        self._reported_at_seconds = -REPORT_SECONDS

    @property
    def name(self) -> str:
        """The addresses and ports, for aiohttp's log lines."""
        return ", ".join(str(each.getsockname()) for each in self._listeners)

    async def start(self) -> None:
        """Begin to accept connections."""
        await super().start()
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)
        self._sweep()

    async def stop(self) -> None:
        """Accept no more connections, and release the port and the reserve."""
        self._is_serving = False
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        for timer in self._timers.values():
            timer.cancel()
        while self._reserve:
            os.close(self._reserve.pop())
        for connection in list(self._connections):
            if not connection.is_open and self._may_close(connection):
                connection.abort()
        await asyncio.gather(*self._set_up, return_exceptions=True)
        await super().stop()

    def forget(self, connection: _Connection) -> None:
        """Count a connection no longer. Its descriptor has been closed."""
        self._connections.pop(connection, None)
        self._fill_reserve()

    def _accept_later(self, listener: socket.socket, seconds: float) -> None:
        self._timers[listener] = self._loop.call_later(seconds, self._loop.add_reader, listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(self._max_accepts):
            try:
                accepted, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if self._free_descriptor(error):
                    continue
                # The socket stays readable, so the loop must not poll it at once.
                log.warning("HTTP accepts no connection at present: %s", error.strerror)
                self._loop.remove_reader(listener)
                self._accept_later(listener, RETRY_ACCEPT_SECONDS)
                return
            if len(self._connections) >= self._max_connections:
                self._displace()
            self._begin(SmallReads.over(accepted))

    def _free_descriptor(self, error: OSError) -> bool:
        """Close a descriptor where one is missing: of the reserve, else of another connection."""
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            return False
        if self._reserve:
            os.close(self._reserve.pop())
            return True
        return self._displace()

    def _begin(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        connection = _Connection(self._manager, self, accepted)
        self._connections[connection] = None
        task = self._loop.create_task(self._connect(connection, accepted))
        self._set_up.add(task)
        task.add_done_callback(self._set_up.discard)

    async def _connect(self, connection: _Connection, accepted: socket.socket) -> None:
        bounds = {"ssl_handshake_timeout": MAX_IDLE_SECONDS, "ssl_shutdown_timeout": MAX_LINGER_SECONDS}
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._loop.connect_accepted_socket(lambda: connection, accepted, ssl=self._tls(), **bounds)
        except (OSError, ValueError, MemoryError) as error:  # the client has gone, or its handshake failed
            log.debug("an HTTP connection was not set up: %s", error)
            accepted.close()
            self.forget(connection)

    def _displace(self) -> bool:
        """Close the connection that is least likely to be missed. Returns False while all are being set up."""
        chosen = self._least_missed()
        if chosen is None:
            return False
        self._displaced += 1
        chosen.abort()
        return True

    def _least_missed(self) -> _Connection | None:
        """Return the first connection of the lowest rank, of those with all input read if there are any.

        In a flood that is one of the oldest, so the search ends early.
        """
        chosen, lowest = None, None
        for each in filter(self._may_close, self._connections):
            cost = (each.has_unread_input(), each.rank())
            if lowest is None or cost < lowest:
                chosen, lowest = each, cost
            if cost == NOT_MISSED:
                break
        return chosen

    def _may_close(self, connection: _Connection) -> bool:
        """Return whether a connection can be closed. Without TLS, its set-up ends in the turn after its acceptance."""
        return connection.is_open or (self._tls is not None and connection.is_in_handshake)

    def _sweep(self) -> None:
        """Close overdue connections, refill the reserve, and report displaced connections once a minute."""
        self._timers["sweep"] = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now_seconds = self._loop.time()
        for connection in list(self._connections):
            if connection.is_overdue(now_seconds):
                connection.abort()
        self._fill_reserve()
        if self._displaced and now_seconds >= self._reported_at_seconds + REPORT_SECONDS:
            fields = {"closed": self._displaced, "max": self._max_connections}
            log.warning("HTTP connections were closed, so that new ones are accepted", extra={"fields": fields})
            self._displaced, self._reported_at_seconds = 0, now_seconds

    def _fill_reserve(self) -> None:
        while len(self._reserve) < RESERVED_DESCRIPTORS and self._is_serving:
            try:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                return


class _Connection(web.RequestHandler):
    """One connection, from its acceptance until its descriptor is closed."""

    def __init__(self, server: web.Server, site: BoundedSite, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=MAX_IDLE_SECONDS,
            lingering_time=MAX_LINGER_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self._site = site
        self._socket = accepted
        # aiohttp forgets the transport when it closes, also while the client has not read everything.
        self._own_transport: asyncio.Transport | None = None
        self._is_refused = False
        self._progress = (self._request_count, self._is_idle)
        self._progress_at_seconds = loop.time()

    @property
    def is_open(self) -> bool:
        """Whether the connection has been set up and its descriptor is open."""
        return self._own_transport is not None and self._socket.fileno() >= 0

    @property
    def is_in_handshake(self) -> bool:
        """Whether the connection is being set up, and was not refused meanwhile."""
        return self._own_transport is None and not self._is_refused and self._socket.fileno() >= 0

    @property
    def _is_idle(self) -> bool:
        """Whether no complete request is waiting or in progress."""
        return self._waiter is not None and not self._waiter.done()

    def rank(self) -> int:
        """Rank the reasons to keep a connection: it is idle and never asked, asked before, does not read, is served."""
        if self.is_in_handshake:
            return 0
        if self._is_idle:
            return 0 if self._request_count == 0 else 1
        return 2 if self.writing_paused else 3

    def has_unread_input(self) -> bool:
        """Return whether the client has sent bytes that were not read yet."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def is_overdue(self, now_seconds: float) -> bool:
        """Return whether one request, or the wait for one, has lasted too long. Call it about every second."""
        progress = (self._request_count, self._is_idle)
        if progress != self._progress:
            self._progress, self._progress_at_seconds = progress, now_seconds
        return self.is_open and now_seconds >= self._progress_at_seconds + MAX_REQUEST_SECONDS

    def note_progress(self) -> None:
        """Begin the time of the request anew."""
        self._progress_at_seconds = asyncio.get_running_loop().time()

    def abort(self) -> None:
        """Close the connection at once, with its descriptor, and drop unsent bytes.

        A TLS handshake reads the end of the connection instead, because asyncio still has the descriptor.
        """
        if self._own_transport is None:
            self._is_refused = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            return
        self._own_transport.abort()
        self._close_descriptor()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._own_transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Close the descriptor now rather than in the next turn, so that it can return to the reserve."""
        super().connection_lost(exc)
        self._close_descriptor()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request without a traceback in the log: any stranger can send one."""
        if isinstance(exc, ConnectionError):  # the client has gone; aiohttp expects this error
            raise exc
        # UnicodeError: aiohttp quotes an Expect header that is not UTF-8 in its own answer.
        if not isinstance(exc, HttpProcessingError | UnicodeError):
            return super().handle_error(request, status, exc, message)
        reason = (exc.message if isinstance(exc, HttpProcessingError) else str(exc))[:MAX_REASON_CHARACTERS]
        log.warning("a malformed HTTP request was refused", extra={"fields": {"reason": reason}})
        response = web.Response(status=HTTPStatus.BAD_REQUEST, text="malformed request\n")
        response.force_close()
        return response

    def _close_descriptor(self) -> None:
        self._socket.close()
        self._site.forget(self)
