"""Asterisk's REST interface and event websocket over aiohttp.

All ids are chosen by the relay, so that every request may be repeated. After a failed POST the chosen id is requested:
if it exists, the POST succeeded. (Asterisk 22.10 answers 500 to a second externalMedia with the same channelId, and 409
to a second bridge.)
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from rtppool_relay.ari.bodies import (
    MAX_APPLICATION_CHARS,
    MAX_LIST_BYTES,
    MAX_OBJECT_BYTES,
    Listing,
    parse_json,
    parse_list,
    read_body,
    read_error_text,
)
from rtppool_relay.ari.connections import Connections, Pool
from rtppool_relay.ari.errors import AriError, AriFormatError, AriRefused, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.event_reader import EventReader
from rtppool_relay.ari.messages import (
    MAX_TEXT_CHARS,
    ApplicationResource,
    AriEvent,
    AsteriskInfo,
    Bridge,
    Channel,
    encodable,
    parse_application,
    parse_asterisk_info,
    parse_bridge,
    parse_channel,
)

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
# A silent websocket is closed after one and a half of these.
HEARTBEAT_SECONDS = 2.0
CLOSING_SECONDS = 0.5
# An attempt that falls into a silent time must not outlast it for long.
HANDSHAKE_SECONDS = 2.0
# A longer message closes the websocket. One that is only too long for an event is left out.
MAX_MESSAGE_BYTES = 8 << 20
MAX_EVENTS_WAITING = 10_000
MAX_SHOWN = 200
MAX_PORT = 65535
MAX_PORT_DIGITS = 5

# Every other failure inside aiohttp and the parsers: hosts and ids that cannot be encoded, unknown encodings, a session
# that was closed meanwhile, a nesting that is too deep.
_OTHER_FAILURES = (ValueError, LookupError, RuntimeError)
_UNREADABLE = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR}


@dataclass(frozen=True, slots=True)
class _Found:
    """An object that exists. Its `document` is None where Asterisk answers without a body."""

    document: Any


class AriClient:
    """The Asterisk at `url` (`http://HOST:8088/ari`). Every method may raise an `AriError`.

    `tls` holds the accepted authorities where the URL is https. None accepts those of the system. `observe_address` is
    called with this end's address of each connection for events.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        tls: ssl.SSLContext | None = None,
        *,
        request_seconds: float = REQUEST_SECONDS,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        max_events_waiting: int = MAX_EVENTS_WAITING,
        observe_address: Callable[[str], None] | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self.use_credentials(user, password)
        self._connections = Connections(self._url, tls, request_seconds)
        self._heartbeat_seconds = heartbeat_seconds
        self._max_events_waiting = max_events_waiting
        self._observe_address = observe_address
        self._events_ignored = 0

    @property
    def events_ignored(self) -> int:
        """The number of events that could not be parsed."""
        return self._events_ignored

    def use_credentials(self, user: str, password: str) -> None:
        """Authenticate later requests as this user. Open connections stay, so that no event is lost."""
        self._user = user
        self._authorization = aiohttp.encode_basic_auth(user, password)

    async def close(self) -> None:
        """Close the connections for good. Requests that wait, and later ones, fail with an `AriUnreachable`."""
        await self._connections.close()

    async def check_rights(self) -> None:
        """Check by requests that change nothing whether the user may write: they name objects that do not exist.

        Raises:
            AriUnauthorized: Asterisk refuses a write.
            AriError: Asterisk does not answer.
        """
        absent = f"rtp-pool-absent-{secrets.token_hex(8)}"
        for method, path in (
            ("POST", f"/channels/{absent}/answer"),
            ("DELETE", f"/channels/{absent}"),
            ("DELETE", f"/bridges/{absent}"),
        ):
            try:
                await self._json(method, path, "checks")
            except AriRefused as refused:
                # 404 is the expected answer. Any other one, such as 500, says nothing about rights.
                if refused.status != HTTPStatus.NOT_FOUND:
                    log.debug("rights are unknown: %s", refused)

    async def asterisk_info(self) -> AsteriskInfo:
        """Return the start time of this run of Asterisk."""
        return parse_asterisk_info(await self._json("GET", "/asterisk/info", "checks", only="status"))

    async def global_variable(self, name: str) -> str | None:
        """Return a variable of Asterisk itself, or None where it is not set. It ends with the run of Asterisk."""
        return _value(await self._json("GET", "/asterisk/variable", variable=name))

    async def set_global_variable(self, name: str, value: str) -> None:
        """Set a variable of Asterisk itself."""
        await self._json("POST", "/asterisk/variable", variable=name, value=value)

    async def clear_global_variable(self, name: str) -> None:
        """Unset a variable of Asterisk itself, also where it is not set."""
        await self._json("POST", "/asterisk/variable", variable=name)

    async def channels(self) -> Listing[Channel]:
        """Return all channels. One that was left out as faulty exists all the same."""
        body = await self._send("GET", "/channels", "checks", {}, MAX_LIST_BYTES)
        with self._names_request("GET", "/channels"):
            return await parse_list(body, parse_channel)

    async def bridges(self) -> Listing[Bridge]:
        """Return all bridges. One that was left out as faulty exists all the same."""
        body = await self._send("GET", "/bridges", "checks", {}, MAX_LIST_BYTES)
        with self._names_request("GET", "/bridges"):
            return await parse_list(body, parse_bridge)

    async def channel(self, channel: str) -> Channel | None:
        """Return a channel, or None where there is none. It has only its id where Asterisk cannot describe it."""
        path = f"/channels/{_quoted(channel)}"
        found = await self._find(path, "checks")
        if found is None:
            return None
        with self._names_request("GET", path):
            return Channel(channel, "") if found.document is None else parse_channel(found.document)

    async def application(self, application: str) -> ApplicationResource | None:
        """Return the subscriptions of a Stasis application, or None where no client holds it."""
        path = f"/applications/{_quoted(application)}"
        found = await self._find(path, "checks")
        if found is None:
            return None
        with self._names_request("GET", path):
            return parse_application(found.document)

    async def applications(self) -> Listing[ApplicationResource]:
        """Return the subscriptions of all Stasis applications."""
        body = await self._send("GET", "/applications", "checks", {}, MAX_LIST_BYTES)
        with self._names_request("GET", "/applications"):
            return await parse_list(body, parse_application, MAX_APPLICATION_CHARS)

    async def bridge(self, bridge: str) -> Bridge | None:
        """Return a bridge, or None where there is none."""
        path = f"/bridges/{_quoted(bridge)}"
        found = await self._find(path, "checks")
        if found is None:
            return None
        with self._names_request("GET", path):
            return parse_bridge(found.document)

    async def application_exists(self, application: str) -> bool:
        """Return whether a websocket, a channel or a bridge holds the Stasis application."""
        return await self._find(f"/applications/{_quoted(application)}", "checks") is not None

    async def answer(self, channel: str) -> None:
        """Answer a caller."""
        await self._json("POST", f"/channels/{_quoted(channel)}/answer")

    async def create_bridge(self, bridge: str) -> None:
        """Create a mixing bridge with this id, also where it exists."""
        await self._create(f"/bridges/{_quoted(bridge)}", "/bridges", type="mixing", bridgeId=bridge)

    async def create_media(self, channel: str, application: str, external_host: str, media_format: str) -> Channel:
        """Create an externalMedia channel with this id that sends RTP to `external_host` (`ADDRESS:PORT`)."""
        document = await self._create(
            f"/channels/{_quoted(channel)}",
            "/channels/externalMedia",
            app=application,
            channelId=channel,
            external_host=external_host,
            format=media_format,
        )
        with self._names_request("POST", "/channels/externalMedia"):
            return Channel(channel, "") if document is None else parse_channel(document)

    async def media_address(self, channel: Channel) -> tuple[str, int]:
        """Return the address and port of a media channel's RTP in Asterisk, from the snapshot or by request.

        Raises:
            AriError: Asterisk has no such address.
        """
        # Both at once: packets of an adopted call wait for them.
        address, port = await asyncio.gather(
            self._variable_unless(channel.media_address, channel.id, "UNICASTRTP_LOCAL_ADDRESS"),
            self._variable_unless(channel.media_port, channel.id, "UNICASTRTP_LOCAL_PORT"),
        )
        endpoint = _endpoint(address, port)
        if endpoint is None:
            raise AriError(
                f"channel {channel.id}: UNICASTRTP_LOCAL_ADDRESS is {address!r} and UNICASTRTP_LOCAL_PORT {port!r}; "
                "accepted are an IP address and a port; is chan_rtp loaded in Asterisk?"
            )
        return endpoint

    async def variable(self, channel: str, name: str) -> str | None:
        """Return a channel variable or function, or None where it is not set or not readable."""
        try:
            document = await self._json("GET", f"/channels/{_quoted(channel)}/variable", variable=name)
        except AriRefused as refused:
            if refused.status in _UNREADABLE:
                return None
            raise
        return _value(document)

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """Set a channel variable, for the dialplan."""
        await self._json("POST", f"/channels/{_quoted(channel)}/variable", variable=name, value=value)

    async def continue_in_dialplan(self, channel: str) -> None:
        """Send a caller back to the dialplan, behind `Stasis()`."""
        await self._json("POST", f"/channels/{_quoted(channel)}/continue")

    async def add_to_bridge(self, bridge: str, channels: tuple[str, ...]) -> None:
        """Add channels to a bridge, also where they are in it."""
        await self._json("POST", f"/bridges/{_quoted(bridge)}/addChannel", channel=",".join(channels))

    async def delete_channel(self, channel: str) -> None:
        """Hang a channel up, also where it is gone."""
        await self._delete(f"/channels/{_quoted(channel)}")

    async def delete_bridge(self, bridge: str) -> None:
        """Delete a bridge, also where it is gone."""
        await self._delete(f"/bridges/{_quoted(bridge)}")

    @asynccontextmanager
    async def events(self, application: str) -> AsyncIterator[AsyncIterator[AriEvent]]:
        """Register the application and yield its events until the connection ends."""
        # A fault that silently cut the events off may have cut the kept connections as well. Requests that wait on one
        # are repeated on a new one.
        await self._connections.drop()
        async with self._connections.single() as session:
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    socket = await session.ws_connect(
                        URL(f"{self._url}/events", encoded=True),
                        params={"app": application, "subscribeAll": "false"},
                        headers={"Authorization": self._authorization},
                        heartbeat=self._heartbeat_seconds,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING_SECONDS),
                        max_msg_size=MAX_MESSAGE_BYTES,
                        decode_text=False,
                    )
            except aiohttp.WSServerHandshakeError as error:
                raise self._refusal("GET", "/events", error.status, error.message) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable(error) from error
            except _OTHER_FAILURES as error:
                raise self._unexpected("GET", "/events", error) from error
            address = socket.get_extra_info("sockname")
            if address and self._observe_address is not None:
                self._observe_address(address[0])
            reader = EventReader(socket, self._url, self._max_events_waiting, self._count_ignored_event)
            async with socket, reader as events:
                yield events

    async def _variable_unless(self, known: str | None, channel: str, name: str) -> str | None:
        return known or await self.variable(channel, name)

    def _count_ignored_event(self) -> None:
        self._events_ignored += 1

    async def _create(self, chosen: str, path: str, **parameters: str) -> Any:
        """Create an object by POST. A failed POST counts as done where the object at `chosen` exists."""
        try:
            return await self._json("POST", path, **parameters)
        except AriUnauthorized:
            raise
        except AriError:
            found = await self._find_created(chosen)
            if found is None:
                raise
            return found.document

    async def _find_created(self, chosen: str) -> _Found | None:
        try:
            return await self._find(chosen)
        except AriError:
            return None  # the first failure is the more precise one

    async def _find(self, path: str, pool: Pool = "calls") -> _Found | None:
        try:
            return _Found(await self._json("GET", path, pool))
        except AriRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _delete(self, path: str) -> None:
        try:
            await self._json("DELETE", path)
        except AriRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    async def _json(self, method: str, path: str, pool: Pool = "calls", /, **parameters: str) -> Any:
        """Return the answer's document, or None where it has no body."""
        body = await self._send(method, path, pool, parameters, MAX_OBJECT_BYTES)
        with self._names_request(method, path):
            return parse_json(body.decode("utf-8", "replace"))

    async def _send(self, method: str, path: str, pool: Pool, parameters: dict[str, str], max_bytes: int) -> bytes:
        """Send a request, and once more where a kept connection turned out to be closed. Return the answer's body."""
        try:
            return await self._once(method, path, pool, parameters, max_bytes)
        except aiohttp.ClientConnectionError as first:
            if isinstance(first, (aiohttp.ClientConnectorError, TimeoutError)):
                raise self._unreachable(first) from first
        except asyncio.CancelledError:
            _raise_if_cancelled()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        except _OTHER_FAILURES as error:
            raise self._unexpected(method, path, error) from error
        try:
            return await self._once(method, path, pool, parameters, max_bytes)
        except asyncio.CancelledError as error:
            _raise_if_cancelled()
            raise self._unreachable(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        except _OTHER_FAILURES as error:
            raise self._unexpected(method, path, error) from error

    async def _once(self, method: str, path: str, pool: Pool, parameters: dict[str, str], max_bytes: int) -> bytes:
        # An encoded path is sent as it is: `.` and `..` are ids, too.
        url, headers = URL(self._url + path, encoded=True), {"Authorization": self._authorization}
        async with self._connections.of(pool).request(method, url, params=parameters, headers=headers) as response:
            if response.status >= HTTPStatus.BAD_REQUEST:
                text = (await read_error_text(response))[:MAX_SHOWN]
                raise self._refusal(method, path, response.status, text)
            with self._names_request(method, path):
                return await read_body(response, max_bytes)

    @contextmanager
    def _names_request(self, method: str, path: str) -> Iterator[None]:
        """Add the request to an error in the format of its answer."""
        try:
            yield
        except AriFormatError as error:
            raise AriFormatError(f"{method} {path}: {error}; is {self._url} Asterisk's ARI?") from error

    def _unexpected(self, method: str, path: str, error: Exception) -> AriError:
        detail = encodable(str(error)[:MAX_SHOWN])
        return AriError(f"{method} {path[:MAX_SHOWN]} at ARI_URL={self._url} failed ({type(error).__name__}: {detail})")

    def _refusal(self, method: str, path: str, status: int, text: str) -> AriError:
        if status == HTTPStatus.UNAUTHORIZED:
            return AriUnauthorized(
                f"ARI_USER={self._user} with its password is refused by {self._url} (401); accepted is a user of type "
                "user in Asterisk's ari.conf, its password in ARI_PASS or ARI_PASS_FILE"
            )
        if status == HTTPStatus.FORBIDDEN:
            return AriUnauthorized(
                f"ARI_USER={self._user} may not {method} {path} at {self._url} (403), so no call can be served; is it "
                "read_only in ari.conf? Set read_only=no there"
            )
        if path == "/events" and status == HTTPStatus.NOT_FOUND:
            return AriUnreachable(
                f"ARI_URL={self._url} has no /events (404); accepted is the address of Asterisk's ARI, "
                "http://HOST:8088/ari, with enabled=yes in ari.conf"
            )
        return AriRefused(status, f"{method} {path}: Asterisk answered {status} {text}")

    def _unreachable(self, error: BaseException) -> AriUnreachable:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return AriUnreachable(
                f"ARI_URL={self._url} shows a certificate that is not accepted ({_why(error.certificate_error)}); is "
                "ARI_CA_FILE the authority that signed it, and does it name this host?"
            )
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return AriUnreachable(
                f"ARI_URL={self._url} does not speak TLS as expected ({_why(error)}); is this tlsbindaddr of http.conf?"
            )
        if isinstance(error, TimeoutError):
            problem = "does not answer in time"
        elif isinstance(error, aiohttp.ClientConnectorError):
            problem = f"can't be connected ({error.os_error.strerror or error.os_error})"
        else:
            detail = encodable(str(error)[:MAX_SHOWN]) or type(error).__name__
            problem = f"broke off ({detail})"
        return AriUnreachable(
            f"ARI_URL={self._url} {problem}; does Asterisk run there, with enabled=yes and this address in http.conf?"
        )


def _raise_if_cancelled() -> None:
    """Raise the cancellation in progress, if it is one of this task.

    aiohttp cancels requests that wait for a free connection when their session is closed. That is a lost connection.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise  # noqa: PLE0704 in the handler of a CancelledError


def _why(error: BaseException) -> str:
    """Return OpenSSL's reason, as a sentence where it has one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return str(getattr(error, "reason", None) or error)


def _quoted(identifier: str) -> str:
    """Escape an id for one segment of a path. Dots alone are escaped as well, because `..` would be another path."""
    try:
        quoted = quote(identifier, safe="")
    except UnicodeEncodeError as error:
        raise AriFormatError(f"the id {identifier[:MAX_SHOWN]!a} can't be encoded") from error
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def _value(document: Any) -> str | None:
    """Return the beginning of a variable's value. An empty text means that the variable is not set."""
    value = document.get("value") if isinstance(document, dict) else None
    return encodable(value[:MAX_TEXT_CHARS]) if isinstance(value, str) and value else None


def _endpoint(address: str | None, port: str | None) -> tuple[str, int] | None:
    """Return an IP address without a zone and a port, or None for anything else, such as a name."""
    try:
        parsed, number = ipaddress.ip_address(address or ""), int((port or "")[:MAX_PORT_DIGITS])
    except ValueError:
        return None
    usable = not (parsed.is_unspecified or parsed.is_multicast or getattr(parsed, "scope_id", None))
    return (str(parsed), number) if usable and 0 < number <= MAX_PORT and str(number) == port else None
