"""Asterisk's REST interface and event websocket over aiohttp.

All ids are chosen by the relay, so that every request may be repeated. After a failed POST the chosen id is requested:
if it exists, the POST succeeded. (Asterisk 22.10 answers 500 to a second externalMedia with the same channelId, and 409
to a second bridge.)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp

from rtppool_relay.ari.errors import AriError, AriRefused, AriUnauthorized, AriUnreachable
from rtppool_relay.ari.event_reader import EventReader
from rtppool_relay.ari.messages import (
    AriEvent,
    AsteriskInfo,
    Bridge,
    Channel,
    parse_asterisk_info,
    parse_bridge,
    parse_channel,
)

REQUEST_SECONDS = 5.0
CONNECT_SECONDS = 2.0
# A silent websocket is closed after one and a half of these.
HEARTBEAT_SECONDS = 2.0
CLOSING_SECONDS = 0.5
# An attempt that falls into a silent time must not outlast it for long.
HANDSHAKE_SECONDS = 2.0
# Asterisk closes an idle connection after 15 s (http.conf, session_keep_alive) and accepts 100 sessions (sessionlimit).
KEEP_ALIVE_SECONDS = 10.0
MAX_CONNECTIONS = 16
MAX_EVENT_BYTES = 1 << 20
MAX_EVENTS_WAITING = 10_000
MAX_SHOWN = 200
MAX_PORT = 65535

_UNREADABLE = {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR}


class AriClient:
    """The Asterisk at `url` (`http://HOST:8088/ari`). Every method may raise an `AriError`.

    `tls` holds the accepted authorities where the URL is https. None accepts those of the system.
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
    ) -> None:
        self._url = url.rstrip("/")
        self._user = user
        self._authorization = aiohttp.encode_basic_auth(user, password)
        self._tls = tls
        self._request_seconds = request_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._max_events_waiting = max_events_waiting
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def asterisk_info(self) -> AsteriskInfo:
        """Return the start time of this run of Asterisk."""
        return parse_asterisk_info(await self._json("GET", "/asterisk/info", only="status"))

    async def global_variable(self, name: str) -> str | None:
        """Return a variable of Asterisk itself, or None where it is not set. It ends with the run of Asterisk."""
        return _value(await self._json("GET", "/asterisk/variable", variable=name))

    async def set_global_variable(self, name: str, value: str) -> None:
        """Set a variable of Asterisk itself."""
        await self._json("POST", "/asterisk/variable", variable=name, value=value)

    async def clear_global_variable(self, name: str) -> None:
        """Unset a variable of Asterisk itself, also where it is not set."""
        await self._json("POST", "/asterisk/variable", variable=name)

    async def channels(self) -> list[Channel]:
        """Return all channels."""
        return [parse_channel(item) for item in _list(await self._json("GET", "/channels"))]

    async def bridges(self) -> list[Bridge]:
        """Return all bridges."""
        return [parse_bridge(item) for item in _list(await self._json("GET", "/bridges"))]

    async def application_exists(self, application: str) -> bool:
        """Return whether a websocket, a channel or a bridge holds the Stasis application."""
        return await self._find(f"/applications/{_quoted(application)}") is not None

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
        return parse_channel(document)

    async def media_address(self, channel: Channel) -> tuple[str, int]:
        """Return the address and port of a media channel's RTP in Asterisk, from the snapshot or by request.

        Raises:
            AriError: Asterisk has no such address.
        """
        port = channel.media_port or await self.variable(channel.id, "UNICASTRTP_LOCAL_PORT")
        address = channel.media_address or await self.variable(channel.id, "UNICASTRTP_LOCAL_ADDRESS")
        if not address or not port or not str(port).isdecimal() or not 0 < int(port) <= MAX_PORT:
            raise AriError(
                f"channel {channel.id}: UNICASTRTP_LOCAL_ADDRESS is {address!r} and UNICASTRTP_LOCAL_PORT {port!r}; "
                "is chan_rtp loaded in Asterisk?"
            )
        return address, int(port)

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
        await self.close()
        async with self._new_session() as session:
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    socket = await session.ws_connect(
                        f"{self._url}/events",
                        params={"app": application, "subscribeAll": "false"},
                        heartbeat=self._heartbeat_seconds,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING_SECONDS),
                        max_msg_size=MAX_EVENT_BYTES,
                    )
            except aiohttp.WSServerHandshakeError as error:
                raise self._refusal("GET", "/events", error.status, error.message) from error
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._unreachable(error) from error
            async with socket, EventReader(socket, self._url, self._max_events_waiting) as events:
                yield events

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                ssl=True if self._tls is None else self._tls,
            ),
            headers={"Authorization": self._authorization},
            timeout=aiohttp.ClientTimeout(total=self._request_seconds, sock_connect=CONNECT_SECONDS),
            middlewares=(self._refuse_redirect,),
        )

    async def _refuse_redirect(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Asterisk never redirects. A redirect would send the password to another server."""
        response = await handler(request)
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            response.close()
            raise AriUnreachable(
                f"ARI_URL={self._url} answers with a redirect ({response.status}), which is not followed; accepted is "
                "the address of Asterisk's ARI itself"
            )
        return response

    async def _create(self, chosen: str, path: str, **parameters: str) -> Any:
        """Create an object by POST. A failed POST counts as done where the object at `chosen` exists."""
        try:
            return await self._json("POST", path, **parameters)
        except AriUnauthorized:
            raise
        except AriError:
            document = await self._find_created(chosen)
            if document is None:
                raise
            return document

    async def _find_created(self, chosen: str) -> Any | None:
        try:
            return await self._find(chosen)
        except AriError:
            return None  # the first failure is the more precise one

    async def _find(self, path: str) -> Any | None:
        try:
            return await self._json("GET", path)
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

    async def _json(self, method: str, path: str, **parameters: str) -> Any:
        """Send a request, and once more where a kept connection turned out to be closed."""
        try:
            return await self._once(method, path, parameters)
        except aiohttp.ClientConnectionError as first:
            if isinstance(first, (aiohttp.ClientConnectorError, TimeoutError)):
                raise self._unreachable(first) from first
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
        try:
            return await self._once(method, path, parameters)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def _once(self, method: str, path: str, parameters: dict[str, str]) -> Any:
        async with self._http().request(method, self._url + path, params=parameters) as response:
            if response.status >= HTTPStatus.BAD_REQUEST:
                text = (await response.text(errors="replace"))[:MAX_SHOWN]
                raise self._refusal(method, path, response.status, text)
            if response.status == HTTPStatus.NO_CONTENT:
                return None
            try:
                return await response.json()
            except ValueError as error:
                raise AriError(f"{method} {path}: the answer is no JSON; is {self._url} Asterisk's ARI?") from error

    def _refusal(self, method: str, path: str, status: int, text: str) -> AriError:
        if status == HTTPStatus.UNAUTHORIZED:
            return AriUnauthorized(
                f"ARI_USER={self._user} with its password is refused by {self._url} (401); accepted is a user of type "
                "user in Asterisk's ari.conf, its password in ARI_PASS or ARI_PASS_FILE"
            )
        if status == HTTPStatus.FORBIDDEN:
            return AriUnauthorized(
                f"ARI_USER={self._user} may not {method} {path} at {self._url} (403); is it read_only in ari.conf?"
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
            problem = f"broke off ({error or type(error).__name__})"
        return AriUnreachable(
            f"ARI_URL={self._url} {problem}; does Asterisk run there, with enabled=yes and this address in http.conf?"
        )


def _why(error: BaseException) -> str:
    """Return OpenSSL's reason, as a sentence where it has one."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return str(getattr(error, "reason", None) or error)


def _quoted(identifier: str) -> str:
    """Escape an id for one segment of a path."""
    return quote(identifier, safe="")


def _value(document: Any) -> str | None:
    """Return a variable's value. An empty text means that the variable is not set."""
    value = document.get("value") if isinstance(document, dict) else None
    return str(value) if value else None


def _list(document: Any) -> list[Any]:
    if not isinstance(document, list):
        raise AriError(f"expected a list from Asterisk, not {str(document)[:MAX_SHOWN]!r}")
    return document
