"""The ARI client with servers that answer with too much, too slowly, too deep or not at all, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote_plus

import pytest
from aiohttp import web

from rtppool_core.net.http_endpoints import listen
from rtppool_relay.ari.bodies import MAX_ERROR_BYTES, MAX_LIST_BYTES, MAX_OBJECT_BYTES, Listing
from rtppool_relay.ari.errors import AriError, AriFormatError, AriRefused, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.event_reader import MAX_EVENT_BYTES
from rtppool_relay.ari.messages import MAX_TEXT_CHARS, ApplicationResource, Channel, ChannelGone
from rtppool_relay.ari.rest import MAX_MESSAGE_BYTES, AriClient

pytestmark = pytest.mark.timeout(60)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MEGABYTE = 1 << 20
RESIDENT_GROWTH_BYTES = 64 * MEGABYTE


@asynccontextmanager
async def client_of(handler: Handler, **options: float) -> AsyncIterator[AriClient]:
    """Yield a client of a server that answers every request by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner, port = await listen(app, "127.0.0.1", 0, shutdown_seconds=0.1)
    client = AriClient(f"http://127.0.0.1:{port}/ari", "relay", "secret", **options)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def answering(body: bytes, status: int = 200, **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers={"Content-Type": "application/json", **headers})

    return handler


def endless(chunk: bytes, status: int = 200, pause_seconds: float = 0.0) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while request.transport is not None and not request.transport.is_closing():
            await response.write(chunk)
            await asyncio.sleep(pause_seconds)
        return response

    return handler


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 a file of the kernel
        return int(file.read().split()[1]) * 4096


def bomb(coding: str) -> Handler:
    window_bits = {"gzip": 31, "deflate": 15}[coding]
    packer = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    parts = [packer.compress(b"["), *(packer.compress(b"1," * 500_000) for _ in range(64))]
    body = b"".join((*parts, packer.compress(b"1]"), packer.flush()))
    return answering(body, **{"Content-Encoding": coding})


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(bomb("gzip"), id="gzip bomb"),
        pytest.param(bomb("deflate"), id="deflate bomb"),
        pytest.param(endless(b"[" + b"1," * 500_000), id="endless"),
        pytest.param(endless(b"x" * MEGABYTE, status=500), id="endless error"),
        pytest.param(endless(b"x" * MEGABYTE, status=404), id="endless 404"),
        pytest.param(endless(b" ", pause_seconds=0.01), id="slow"),
        pytest.param(endless(b"x", status=500, pause_seconds=0.01), id="slow error"),
        pytest.param(answering(b"[" * 100_000), id="deep"),
        pytest.param(answering(b"[" + b"9" * 6000 + b"]"), id="huge integer"),
        pytest.param(answering(b"\xff\xfe["), id="no UTF-8"),
        pytest.param(answering(b'"\\ud800"'), id="surrogate"),
        pytest.param(answering(b"NaN"), id="NaN"),
        pytest.param(answering(b"garbage", **{"Content-Encoding": "gzip"}), id="no gzip"),
        pytest.param(answering(b"[]", **{"Content-Encoding": "br"}), id="unknown compression"),
        pytest.param(answering(b"[]", **{"Content-Type": "application/json; charset=nowhere"}), id="unknown charset"),
        pytest.param(answering(b"", status=204), id="no content"),
        pytest.param(answering(b"{}", status=302, Location="http://127.0.0.1:1/"), id="redirect"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_an_ari_error_and_costs_little_memory(handler: Handler) -> None:
    async with client_of(handler, request_seconds=2.0) as client:
        requests: tuple[Callable[[], Awaitable[object]], ...] = (
            client.channels,
            client.bridges,
            client.asterisk_info,
            lambda: client.application("rtp-pool"),
            lambda: client.channel("x"),
            lambda: client.create_media("x", "rtp-pool", "127.0.0.1:1", "ulaw"),
            lambda: client.answer("x"),
            lambda: client.delete_channel("x"),
            client.check_rights,
        )
        before = resident_bytes()
        results = await asyncio.gather(*(request() for request in requests), return_exceptions=True)
        unexpected = [each for each in results if isinstance(each, Exception) and not isinstance(each, AriError)]
        assert unexpected == []
        assert resident_bytes() - before < RESIDENT_GROWTH_BYTES + 2 * MAX_LIST_BYTES


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
async def test_a_body_at_its_bound_is_read_and_a_longer_one_is_refused(coding: str) -> None:
    def packed(text: bytes) -> bytes:
        return {"identity": lambda: text, "gzip": lambda: gzip.compress(text), "deflate": lambda: zlib.compress(text)}[
            coding
        ]()

    def padded(text: bytes, length: int) -> Handler:
        return answering(packed(text.ljust(length)), **{"Content-Encoding": coding})

    async with client_of(padded(b"[]", MAX_LIST_BYTES)) as client:
        assert await client.channels() == Listing(())
    async with client_of(padded(b"[]", MAX_LIST_BYTES + 1)) as client:
        with pytest.raises(AriFormatError, match=f"longer than {MAX_LIST_BYTES} bytes"):
            await client.channels()
    async with client_of(padded(b"{}", MAX_OBJECT_BYTES)) as client:
        await client.answer("x")
    async with client_of(padded(b"{}", MAX_OBJECT_BYTES + 1)) as client:
        with pytest.raises(AriFormatError, match=f"longer than {MAX_OBJECT_BYTES} bytes"):
            await client.answer("x")


async def test_an_error_is_known_by_its_status_however_long_its_text_takes() -> None:
    async with client_of(endless(b"Forbidden ", status=403, pause_seconds=0.01)) as client:
        with pytest.raises(AriUnauthorized, match="read_only"):
            await client.answer("x")
    async with client_of(endless(b"x" * (MAX_ERROR_BYTES + 1), status=500)) as client:
        with pytest.raises(AriRefused) as refused:
            await client.answer("x")
    assert refused.value.status == 500
    assert len(str(refused.value)) < 400


async def test_an_answer_without_a_body_means_that_a_channel_exists() -> None:
    async with client_of(answering(b"")) as client:
        assert await client.channel("1.2") == Channel("1.2", "")
    async with client_of(answering(b"", status=404)) as client:
        assert await client.channel("1.2") is None
        assert await client.application("rtp-pool") is None


@pytest.mark.parametrize("name", ["a b", "a/b", "a%2Fb", "a+b", "ä", "a?b#c", "..", "a;b", "a&b=c"])
async def test_names_and_ids_are_one_segment_of_the_path_as_they_are(name: str) -> None:
    asked: list[str] = []

    async def application(request: web.Request) -> web.StreamResponse:
        asked.append(request.raw_path)
        document = {"name": name, "channel_ids": ["1.2", "1.3"], "bridge_ids": [], "endpoint_ids": []}
        return web.json_response(document)

    async with client_of(application) as client:
        assert await client.application(name) == ApplicationResource(name, ("1.2", "1.3"))
    (path,) = asked
    segment = path.removeprefix("/ari/applications/")
    # Asterisk decodes a plus as a space.
    assert unquote_plus(segment) == name
    assert "/" not in segment


@pytest.mark.parametrize("identifier", ["\ud800", "a" * 100_000, "a\0b", "a\nb"])
async def test_an_id_that_cannot_be_sent_is_an_ari_error(identifier: str) -> None:
    async with client_of(answering(b"{}", status=404)) as client:
        with pytest.raises(AriError):
            await client.answer(identifier)
        with pytest.raises(AriError):
            await client.set_variable("x", identifier, identifier)


async def test_requests_while_the_client_closes_are_ari_errors() -> None:
    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async with client_of(slow) as client:
        waiting = [asyncio.create_task(client.answer("x")) for _ in range(20)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(client.close())
        while not closing.done():
            waiting.append(asyncio.create_task(client.answer("x")))
            await asyncio.sleep(0)
        waiting.append(asyncio.create_task(client.answer("x")))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {AriUnreachable}


async def test_cookies_of_a_server_are_not_kept() -> None:
    cookies: list[str | None] = []

    async def setting(request: web.Request) -> web.StreamResponse:
        cookies.append(request.headers.get("Cookie"))
        response = web.json_response([])
        response.set_cookie("session", "x" * 1000)
        return response

    async with client_of(setting) as client:
        await client.channels()
        await client.channels()
    assert cookies == [None, None]


async def test_later_requests_have_the_changed_credentials() -> None:
    seen: list[str | None] = []

    async def noting(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.json_response([])

    async with client_of(noting) as client:
        await client.channels()
        client.use_credentials("relay", "another")
        await client.channels()
    assert seen[0] != seen[1]


@pytest.mark.parametrize(("method", "path"), [("POST", "answer"), ("DELETE", "channels"), ("DELETE", "bridges")])
async def test_a_user_without_the_right_to_write_is_found_by_requests_that_change_nothing(
    method: str, path: str
) -> None:
    asked: list[tuple[str, str]] = []

    async def forbidding(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path))
        forbidden = request.method == method and path in request.path
        return web.Response(status=403 if forbidden else 404)

    async with client_of(forbidding) as client:
        with pytest.raises(AriUnauthorized, match=r"ARI_USER=relay .* read_only"):
            await client.check_rights()
    assert {name for name, _ in asked} <= {"POST", "DELETE"}


@pytest.mark.parametrize("status", [404, 500, 409])
async def test_a_user_whose_requests_are_not_forbidden_has_the_rights(status: int) -> None:
    asked: list[tuple[str, str]] = []

    async def absent(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path))
        return web.Response(status=status)

    async with client_of(absent) as client:
        await client.check_rights()
    assert [(verb, path.split("/")[2], path.rpartition("/")[2] == "answer") for verb, path in asked] == [
        ("POST", "channels", True),
        ("DELETE", "channels", False),
        ("DELETE", "bridges", False),
    ]
    assert len({path.split("/")[3] for _, path in asked}) == 1


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("localhost", "4000"),
        ("127.1", "4000"),
        ("fe80::1%eth0", "4000"),
        ("0.0.0.0", "4000"),
        ("224.0.0.1", "4000"),
        ("127.0.0.1", "0"),
        ("127.0.0.1", "65536"),
        ("127.0.0.1", "9" * 6000),
        ("127.0.0.1", "4000 "),
        ("127.0.0.1", "-1"),
        ("127.0.0.1", "\uff14\uff10"),
        ("", "4000"),
    ],
)
async def test_a_media_address_that_is_no_ip_address_and_port_is_an_ari_error(address: str, port: str) -> None:
    async with client_of(answering(b'{"value": ""}')) as client:
        with pytest.raises(AriError, match="UNICASTRTP_LOCAL_ADDRESS"):
            await client.media_address(Channel("x", "", media_address=address, media_port=port))


@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::1", "::1"])
async def test_a_media_address_is_an_ip_address_of_either_family(address: str) -> None:
    async with client_of(answering(b"{}")) as client:
        media = Channel("x", "", media_address=address, media_port="4000")
        assert await client.media_address(media) == (address, 4000)


GOOD_EVENT = json.dumps({"type": "ChannelDestroyed", "channel": {"id": "last"}})


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"StasisStart","x":' + "9" * 6000 + "}",
        '{"type":"StasisStart","application":"rtp-pool","channel":' + '{"a":' * 950 + "1" + "}" * 950 + "}",
        "[" * 100_000,
        '{"type":"' + "a" * 1_000_000 + '"}',
        '{"type":"' + "a" * MAX_EVENT_BYTES + '"}',
        '{"type":NaN}',
        '{"type":"StasisStart","application":["rtp-pool"],"channel":{"id":1}}',
        '{"type":"StasisStart","application":"rtp-pool","channel":{"id":"\\ud800","name":"x"}}',
        '{"type":"StasisStart","application":"rtp-pool","channel":{"id":"' + "a" * 200_000 + '","name":"x"}}',
        "no JSON",
        b"\xff\xfe no UTF-8",
    ],
)
async def test_an_event_that_cannot_be_parsed_is_left_out_and_counted_and_the_socket_stays_open(
    message: str | bytes,
) -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(3):
            if isinstance(message, bytes):
                await socket._writer.send_frame(message, 1)  # type: ignore[union-attr]
            else:
                await socket.send_str(message)
        await socket.send_str(GOOD_EVENT)
        async for _ in socket:
            pass
        return socket

    async with client_of(events) as client, client.events("rtp-pool") as received:
        async with asyncio.timeout(30):
            assert await anext(received) == ChannelGone("last")
        # A type that no call needs is no fault.
        of_no_use = len(message) < MAX_EVENT_BYTES and ('"type":"aaa' in str(message) or "NaN" in str(message))
        assert client.events_ignored == (0 if of_no_use else 3)


async def test_a_message_beyond_its_bound_ends_the_events_and_takes_little_memory() -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(GOOD_EVENT)
        await socket.send_str("x" * (MAX_MESSAGE_BYTES + 1))
        async for _ in socket:
            pass
        return socket

    async with client_of(events) as client, client.events("rtp-pool") as received, asyncio.timeout(30):
        assert [event async for event in received] == [ChannelGone("last")]


@pytest.mark.parametrize(
    "line", [b"HTTP/9.9 200 \xff", b"\xff\x00\x1b[31m" * 1000, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000]
)
async def test_garbage_instead_of_http_is_an_ari_error_with_a_short_text(line: bytes) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        client = AriClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/ari", "relay", "secret")
        with pytest.raises(AriUnreachable) as error:
            await client.channels()
        assert len(str(error.value).encode()) < 600
        await client.close()


async def test_a_variable_s_value_has_a_bound() -> None:
    async with client_of(answering(json.dumps({"value": "x" * 100_000 + "\ud800"}).encode())) as client:
        assert await client.variable("x", "CHANNEL(pjsip,call-id)") == "x" * MAX_TEXT_CHARS
    async with client_of(answering(b'{"value": ["x"]}')) as client:
        assert await client.global_variable("x") is None
