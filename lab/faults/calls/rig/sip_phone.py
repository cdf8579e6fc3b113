"""A small SIP phone with several calls at a time, for transfers, which SIPp cannot make. UDP on loopback, u-law alone.

Nothing is lost on loopback, so requests are not repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import quote

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from rtppool_core.rtp.header import PCMU_PAYLOAD_TYPE, RtpHeader, build

ANSWER_SECONDS = 10.0
PACKET_SECONDS, PACKET_BYTES = 0.02, 160
MAX_DATAGRAM_BYTES = 65_535
FIRST_FINAL, FIRST_FAILURE = 200, 300
_MEDIA = re.compile(r"(?m)^m=audio (\d+)")
_TAG = re.compile(r";tag=([^;>\s]+)")
_URI = re.compile(r"<([^>]+)>")


@dataclass(frozen=True, slots=True)
class Message:
    """A SIP message: its first line, its headers by lower-case name, and its body."""

    first: str
    headers: dict[str, list[str]]
    body: str

    @property
    def status(self) -> int | None:
        """The status of a response; None for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """The method of a request, or of the request that a response answers."""
        return self.header("cseq").split()[1]

    def header(self, name: str) -> str:
        """Return the first value of a header; empty without one."""
        return self.headers.get(name, [""])[0]


def parse(text: str) -> Message:
    """Parse a datagram."""
    head, _, body = text.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Message(first, headers, body)


@dataclass(slots=True)
class Dialog:
    """One call of the phone. `remote` is the other end's URI; `received` counts its RTP packets."""

    call_id: str
    local: str
    remote: str
    target: str
    media: socket.socket
    remote_tag: str = ""
    peer: tuple[str, int] | None = None
    sequence: int = 0
    received: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    transferred: asyncio.Event = field(default_factory=asyncio.Event)


class SipPhone(asyncio.DatagramProtocol):
    """A phone at `port`. It answers every call, and talks in all of its calls until they end."""

    def __init__(self, user: str, port: int, server_port: int) -> None:
        self.dialogs: dict[str, Dialog] = {}
        self._user, self._port, self._server = user, port, (LOOPBACK, server_port)
        self._transport: asyncio.DatagramTransport | None = None
        self._answers: dict[str, asyncio.Queue[Message]] = {}
        self._talking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Bind the port, and begin to talk."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, (LOOPBACK, self._port))
        self._talking = asyncio.create_task(self._talk())

    async def close(self) -> None:
        """Close all sockets."""
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()
        for dialog in self.dialogs.values():
            dialog.media.close()

    async def call(self, extension: str) -> Dialog:
        """Call an extension and return the answered call.

        Raises:
            LabError: the call was refused, or not answered.
        """
        remote = f"sip:{extension}@{LOOPBACK}:{self._server[1]}"
        dialog = Dialog(secrets.token_hex(8), secrets.token_hex(4), remote, remote, _media_socket())
        self.dialogs[dialog.call_id] = dialog
        answer = await self._ask(dialog, "INVITE", body=self._offer(dialog))
        dialog.remote_tag = _found(_TAG, answer.header("to"))
        dialog.target = _found(_URI, answer.header("contact"))
        dialog.peer = (LOOPBACK, int(_found(_MEDIA, answer.body)))
        self._send(self._request(dialog, "ACK", secrets.token_hex(8)))
        return dialog

    async def transfer(self, call: Dialog, consultation: Dialog) -> None:
        """Connect the other ends of two calls, and leave both (RFC 3515 and RFC 3891).

        Raises:
            LabError: the transfer was refused.
        """
        replaces = f"{consultation.call_id};to-tag={consultation.remote_tag};from-tag={consultation.local}"
        target = f"<{consultation.remote}?Replaces={quote(replaces, safe='')}>"
        await self._ask(call, "REFER", headers=(f"Refer-To: {target}",))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await call.transferred.wait()
        except TimeoutError as error:
            raise LabError(f"the transfer was not confirmed within {ANSWER_SECONDS:g} s") from error
        for each in (call, consultation):
            if not each.ended.is_set():
                await self.hang_up(each)

    async def hang_up(self, dialog: Dialog) -> None:
        """End a call.

        Raises:
            LabError: the other end did not confirm it.
        """
        await self._ask(dialog, "BYE")
        dialog.ended.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, _address: object) -> None:
        """Pass a response to its request, and answer a request."""
        message = parse(data.decode())
        if message.status is not None:
            answers = self._answers.get(message.header("call-id") + message.header("cseq"))
            if answers is not None:
                answers.put_nowait(message)
        elif message.method != "ACK":
            self._answer(message)

    def _answer(self, request: Message) -> None:
        call_id, body = request.header("call-id"), ""
        dialog = self.dialogs.get(call_id)
        if request.method == "INVITE":
            if dialog is None:
                remote, target = _found(_URI, request.header("from")), _found(_URI, request.header("contact"))
                dialog = Dialog(call_id, secrets.token_hex(4), remote, target, _media_socket())
                dialog.remote_tag = _found(_TAG, request.header("from"))
                self.dialogs[call_id] = dialog
            if request.body:
                dialog.peer = (LOOPBACK, int(_found(_MEDIA, request.body)))
            body = self._offer(dialog)
        elif request.method == "BYE" and dialog is not None:
            dialog.ended.set()
        elif request.method == "NOTIFY" and dialog is not None and request.body.startswith("SIP/2.0 200"):
            dialog.transferred.set()
        to = request.header("to")
        if dialog is not None and not _TAG.search(to):
            to += f";tag={dialog.local}"
        lines = [f"Via: {via}" for via in request.headers["via"]]
        lines += [f"From: {request.header('from')}", f"To: {to}", f"Call-ID: {call_id}"]
        lines += [f"CSeq: {request.header('cseq')}", f"Contact: {self._contact}"]
        self._send(_message("SIP/2.0 200 OK", lines, body))

    async def _ask(self, dialog: Dialog, method: str, headers: tuple[str, ...] = (), body: str = "") -> Message:
        """Send a request, and return its final response."""
        dialog.sequence += 1
        key = f"{dialog.call_id}{dialog.sequence} {method}"
        self._answers[key] = asyncio.Queue()
        self._send(self._request(dialog, method, secrets.token_hex(8), headers, body))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    answer = await self._answers[key].get()
                    if (answer.status or 0) >= FIRST_FINAL:
                        break
        except TimeoutError as error:
            raise LabError(f"{method} of {self._user} was not answered within {ANSWER_SECONDS:g} s") from error
        finally:
            del self._answers[key]
        if (answer.status or 0) >= FIRST_FAILURE:
            raise LabError(f"{method} of {self._user}: {answer.first}")
        return answer

    def _request(self, dialog: Dialog, method: str, branch: str, headers: tuple[str, ...] = (), body: str = "") -> str:
        to = f"<{dialog.remote}>" + (f";tag={dialog.remote_tag}" if dialog.remote_tag else "")
        lines = [
            f"Via: SIP/2.0/UDP {LOOPBACK}:{self._port};branch=z9hG4bK{branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self._user}@{LOOPBACK}:{self._port}>;tag={dialog.local}",
            f"To: {to}",
            f"Call-ID: {dialog.call_id}",
            f"CSeq: {dialog.sequence} {method}",
            f"Contact: {self._contact}",
            *headers,
        ]
        return _message(f"{method} {dialog.target} SIP/2.0", lines, body)

    @property
    def _contact(self) -> str:
        return f"<sip:{self._user}@{LOOPBACK}:{self._port}>"

    def _offer(self, dialog: Dialog) -> str:
        port = dialog.media.getsockname()[1]
        return "\r\n".join(
            ("v=0", f"o=- 1 1 IN IP4 {LOOPBACK}", "s=-", f"c=IN IP4 {LOOPBACK}", "t=0 0",
             f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "")
        )  # fmt: skip

    def _send(self, text: str) -> None:
        if self._transport is None:
            raise LabError(f"phone {self._user} is not open")
        self._transport.sendto(text.encode(), self._server)

    async def _talk(self) -> None:
        voice, number = secrets.token_bytes(PACKET_BYTES), 0
        while True:
            number += 1
            for dialog in list(self.dialogs.values()):
                dialog.received += _take_arrived(dialog.media)
                if dialog.peer is not None and not dialog.ended.is_set():
                    header = RtpHeader(PCMU_PAYLOAD_TYPE, number & 0xFFFF, number * PACKET_BYTES, 1)
                    dialog.media.sendto(build(header, voice), dialog.peer)
            await asyncio.sleep(PACKET_SECONDS)


def _take_arrived(media: socket.socket) -> int:
    """Receive the packets that wait, and return their number."""
    packets = 0
    with contextlib.suppress(BlockingIOError, ConnectionError):
        while media.recv(MAX_DATAGRAM_BYTES):
            packets += 1
    return packets


def _media_socket() -> socket.socket:
    media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    media.bind((LOOPBACK, 0))
    return media


def _message(first: str, lines: list[str], body: str) -> str:
    described = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join((first, *lines, *described, f"Content-Length: {len(body)}", "", body))


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise LabError(f"{pattern.pattern} is not in {text[:200]!r}")
    return match[1]
