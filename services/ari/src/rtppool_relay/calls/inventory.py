"""The requests of a comparison. Each of them may fail alone, and the others are used.

One channel with a byte that is no UTF-8, a refusal or a slow list must not hide the calls of this relay. Where Asterisk
does not list its channels or bridges, the relay requests each one that it needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from rtppool_relay.ari.connections import MAX_CONNECTIONS
from rtppool_relay.ari.errors import AriError, AriRefused, AriUnreachable
from rtppool_relay.ari.messages import ApplicationResource, Bridge, Channel
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.calls.reconciliation import (
    Calls,
    Inventory,
    bridges_to_request,
    channels_to_request,
    needs_other_applications,
)

# A slow list is replaced by single requests. Callers wait for the first comparison, so that each request has a limit.
MAX_LIST_SECONDS = 1.0
MAX_SINGLE_SECONDS = 1.0
# More would wait for a connection, and their time would run.
MAX_REQUESTS_AT_ONCE = MAX_CONNECTIONS["checks"]
_NOT_FOUND = 404

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answers:
    """The inventory, the start of this run of Asterisk, and the failures by request.

    Attributes:
        started: the start time as Asterisk writes it, or None where it is unknown.
        failures: a sentence with Asterisk's words for each kind of request that failed.
        is_complete: every object of this relay is known, although some requests may have failed.
        knows_ports: every port that a media channel of this relay sends to is known, or Asterisk refused to say it.
    """

    inventory: Inventory
    started: str | None
    failures: Mapping[str, str]
    is_complete: bool
    knows_ports: bool


class _Requests:
    """The failures of one comparison's requests."""

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self.is_silent = False

    async def attempt(self, name: str, request: Callable[[], Awaitable[Found]], max_seconds: float) -> Found | None:
        """Return the answer, or None where the request failed."""
        try:
            async with asyncio.timeout(max_seconds):
                return await request()
        except TimeoutError:
            self.is_silent = True
            self.failures.setdefault(name, f"{name}: no answer within {max_seconds:g} s")
        except AriError as error:
            self.is_silent |= isinstance(error, AriUnreachable)
            self.failures.setdefault(name, str(error))
        return None

    async def each(
        self, name: str, ids: Iterable[str], request: Callable[[str], Awaitable[Found | None]]
    ) -> tuple[dict[str, Found], set[str], bool]:
        """Request objects one by one. Return those that exist, those that do not, and whether all answered."""
        turns = asyncio.Semaphore(MAX_REQUESTS_AT_ONCE)
        found: dict[str, Found] = {}
        absent: set[str] = set()

        async def request_one(identifier: str) -> bool:
            answer = await request(identifier)
            if answer is None:
                absent.add(identifier)
            else:
                found[identifier] = answer
            return True

        async def ask(identifier: str) -> bool:
            async with turns:
                return await self.attempt(name, lambda: request_one(identifier), MAX_SINGLE_SECONDS) is True

        answered = await asyncio.gather(*map(ask, sorted(ids)))
        return found, absent, all(answered)


async def request_inventory(client: AriClient, application: str, calls: Callable[[], Calls]) -> Answers:
    """Request everything that a comparison needs. `calls` returns the current calls of this relay."""
    requests = _Requests()
    info, ours, channels, bridges = await asyncio.gather(
        requests.attempt("GET /asterisk/info", client.asterisk_info, MAX_LIST_SECONDS),
        requests.attempt("GET /applications/<ours>", lambda: _application(client, application), MAX_LIST_SECONDS),
        requests.attempt("GET /channels", client.channels, MAX_LIST_SECONDS),
        requests.attempt("GET /bridges", client.bridges, MAX_LIST_SECONDS),
    )
    for name, faults in (("GET /channels", channels and channels.faults), ("GET /bridges", bridges and bridges.faults)):
        if faults:
            requests.failures[name] = f"{name}: {len(faults)} elements are left out, the first one because {faults[0]}"
    inventory = Inventory(
        listed=frozenset(ours.channel_ids) if ours is not None else None,
        channels={channel.id: channel for channel in channels.items} if channels is not None else {},
        bridges={bridge.id: bridge for bridge in bridges.items} if bridges is not None else {},
        has_all_bridges=bridges is not None and not bridges.faults,
    )
    (bridges_found, has_bridges), (channels_found, has_channels) = await asyncio.gather(
        _complete_bridges(client, requests, inventory, calls()),
        _complete_channels(client, requests, inventory, calls()),
    )
    inventory = replace(
        inventory,
        channels=channels_found.channels,
        absent_channels=channels_found.absent_channels,
        bridges=bridges_found.bridges,
        absent_bridges=bridges_found.absent_bridges,
    )
    if needs_other_applications(inventory, calls()):
        others = await requests.attempt(
            "GET /applications", lambda: _other_applications(client, application), MAX_LIST_SECONDS
        )
        elsewhere = None if others is None else {channel for other in others for channel in other.channel_ids}
        inventory = replace(inventory, elsewhere=elsewhere)
    # Each of the three lists names all media channels of this relay.
    has_media = ours is not None or channels is not None or bridges is not None
    return Answers(
        inventory,
        info.startup_time if info is not None else None,
        requests.failures,
        is_complete=has_media and has_bridges and has_channels,
        knows_ports=(has_media and has_channels) or not requests.is_silent,
    )


async def _complete_bridges(
    client: AriClient, requests: _Requests, inventory: Inventory, calls: Calls
) -> tuple[Inventory, bool]:
    """Request the bridges of ours that no list holds. Where all are listed, the others do not exist."""
    needed = bridges_to_request(inventory, calls)
    if inventory.has_all_bridges:
        return replace(inventory, absent_bridges=needed), True
    found, absent, is_complete = await requests.each("GET /bridges/<id>", needed, client.bridge)
    bridges: Mapping[str, Bridge] = {**inventory.bridges, **found}
    return replace(inventory, bridges=bridges, absent_bridges=absent), is_complete


async def _complete_channels(
    client: AriClient, requests: _Requests, inventory: Inventory, calls: Calls
) -> tuple[Inventory, bool]:
    """Request the channels that no list holds: a list may be older, or without a channel that cannot be parsed."""
    needed = channels_to_request(inventory, calls)
    found, absent, is_complete = await requests.each("GET /channels/<id>", needed, client.channel)
    channels: Mapping[str, Channel] = {**inventory.channels, **found}
    return replace(inventory, channels=channels, absent_channels=absent), is_complete


async def _application(client: AriClient, application: str) -> ApplicationResource | None:
    found = await client.application(application)
    if found is None:
        raise AriError(f"GET /applications/{application}: Asterisk has no such application")
    return found


async def _other_applications(client: AriClient, application: str) -> tuple[ApplicationResource, ...]:
    """Return the other applications. An Asterisk that lists none has none that could own a channel."""
    try:
        listing = await client.applications()
    except AriRefused as refused:
        if refused.status == _NOT_FOUND:
            return ()
        raise
    if listing.faults:
        raise AriError(f"GET /applications: {listing.faults[0]}")
    return tuple(each for each in listing.items if each.name != application)
