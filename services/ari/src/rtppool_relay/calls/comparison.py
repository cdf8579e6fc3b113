"""The comparison of Asterisk's channels and bridges with the calls of this relay.

Events are the ordinary source. A comparison finds what no event reported: calls of the previous relay, callers who
waited, ends during a lost connection, and channels that Asterisk sends no events for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping

from rtppool_core.contract.report import Finding
from rtppool_relay.ari.errors import AriError
from rtppool_relay.calls.hand_over import take_departure
from rtppool_relay.calls.ids import call_of
from rtppool_relay.calls.inventory import Answers, request_inventory
from rtppool_relay.calls.reconciliation import Reconciliation, candidates, reconcile, unlisted_callers
from rtppool_relay.calls.registry import SOON_SECONDS, CallRegistry
from rtppool_relay.calls.table import CallEvent

log = logging.getLogger(__name__)

# The pause after a comparison that does not know all objects of this relay.
RETRY_SECONDS = 2.0
MAX_DELETIONS_AT_ONCE = 8
MAX_DEPARTURE_SECONDS = 1.0

_VANISHED = {
    "caller": CallEvent.CALLER_GONE,
    "media": CallEvent.MEDIA_GONE,
    "bridge": CallEvent.BRIDGE_GONE,
    "place": CallEvent.CALLER_MOVED,
}


class Comparison:
    """Compares the calls of a registry with Asterisk and resolves the differences."""

    def __init__(self, registry: CallRegistry) -> None:
        self._registry = registry
        self._context = registry.context
        self._asterisk_started: str | None = None
        self._departure_taken = False
        self._left_ns: int | None = None
        self._failures: Mapping[str, str] = {}
        self._held: frozenset[int] = frozenset()

    def begin_connection(self) -> None:
        """Forget the events of the previous connection: later ones may have been lost."""
        self._registry.presence.forget()

    def set_rights_problem(self, problem: str | None) -> None:
        """Refuse new calls while Asterisk refuses this user's writes. Give the waiting callers back afterwards."""
        entrance = self._context.entrance
        if entrance.rights_problem is not None and problem is None:
            self._registry.compare_soon.set()
        entrance.rights_problem = problem

    async def wait(self, max_seconds: float) -> None:
        """Return after `max_seconds`, or soon after a sign of orphans or of a changed bridge."""
        try:
            async with asyncio.timeout(max_seconds):
                await self._registry.compare_soon.wait()
        except TimeoutError:
            pass
        finally:
            self._registry.compare_soon.clear()

    def findings(self) -> tuple[Finding, ...]:
        """Return a finding where requests of the last comparison failed."""
        return (Finding("ComparisonIncomplete", _incomplete(self._failures)),) if self._failures else ()

    async def check_list(self) -> bool:
        """Request the application's channels alone. Compare soon where one is new or missing without an event.

        Return False where Asterisk has no such application.

        Raises:
            AriError: Asterisk did not answer.
        """
        found = await self._context.client.application(self._context.application)
        if found is None:
            return False
        calls, listed = self._registry.known_calls({}), frozenset(found.channel_ids)
        unexplained = (candidates(listed, calls) - calls.entered) | unlisted_callers(listed, calls)
        if unexplained - self._registry.presence.examined:
            asyncio.get_running_loop().call_later(SOON_SECONDS, self._registry.compare_soon.set)
        return True

    async def compare(self, *, only_ends: bool = False) -> None:
        """Compare with Asterisk, resolve the differences, and audit the leases of ports.

        Requests that fail are findings. The others are used, and the next comparison repeats all.

        Args:
            only_ends: end calls that Asterisk no longer has, but delete, adopt and take nothing.
        """
        registry, context = self._registry, self._context
        states, began = registry.states(), context.monotonic()
        answers, _ = await asyncio.gather(
            request_inventory(context.client, context.application, lambda: registry.known_calls(states, began)),
            self._take_departure(),
        )
        difference = reconcile(answers.inventory, registry.known_calls(states, began))
        self._end_vanished(difference, answers.started)
        for call in difference.started:
            registry.feed(call, CallEvent.MEDIA_STARTED)
        for call in difference.shared:
            registry.feed(call, CallEvent.THIRD_PARTY)
        self._report_failures(answers)
        self._hold_ports(answers, difference)
        if not only_ends:
            await self._settle(difference)
            self._left_ns = None  # calls that are adopted later were not left by the previous relay
            self._remember(answers)
            registry.returns.start()
        await context.ports.audit(registry.ports_of_calls())

    async def _take_departure(self) -> None:
        """Take the time that the previous relay left, once. Where Asterisk refuses it, the gaps stay unknown."""
        if self._departure_taken:
            return
        try:
            async with asyncio.timeout(MAX_DEPARTURE_SECONDS):
                for ids in (self._context.ids, *self._context.old_ids):
                    self._left_ns = await take_departure(self._context.client, ids) or self._left_ns
        except (AriError, TimeoutError) as error:
            log.debug("the previous relay's time of departure is unknown: %s", error)
        else:
            self._departure_taken = True

    def _end_vanished(self, difference: Reconciliation, started: str | None) -> None:
        before, self._asterisk_started = self._asterisk_started, started or self._asterisk_started
        is_another_run = before not in {None, self._asterisk_started}
        states = self._registry.known_calls({}).known
        for vanished in difference.vanished:
            if vanished.part == "caller":
                self._registry.note_left(states[vanished.call].caller)
            event = CallEvent.ASTERISK_GONE if is_another_run else _VANISHED[vanished.part]
            self._registry.feed(vanished.call, event)

    def _hold_ports(self, answers: Answers, difference: Reconciliation) -> None:
        """Keep the ports of calls that are not adopted yet from new calls, and then let callers in."""
        self._held = difference.ports if answers.is_complete else self._held | difference.ports
        self._context.ports.hold(self._held)
        if answers.knows_ports:
            self._context.entrance.open()

    def _remember(self, answers: Answers) -> None:
        """Remember the channels that this comparison knew, so that they cause no further one at once."""
        listed = answers.inventory.listed
        if listed is None:
            return
        presence, calls = self._registry.presence, self._registry.known_calls({})
        presence.prune(listed, self._context.monotonic())
        presence.examined = candidates(listed, calls) | unlisted_callers(listed, calls)

    def _report_failures(self, answers: Answers) -> None:
        """Log a change of the requests that fail, and repeat an incomplete comparison soon."""
        before, self._failures = self._failures, answers.failures
        if answers.failures.keys() - before.keys():
            log.warning("%s", _incomplete(answers.failures))
        elif before and not answers.failures:
            log.info("Asterisk answers all requests of the comparison again")
        if not answers.is_complete:
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._registry.compare_soon.set)

    async def _settle(self, difference: Reconciliation) -> None:
        """Adopt calls first, because their packets wait. An orphan that stays must not keep callers out."""
        registry = self._registry
        for pair in difference.adopt:
            registry.adopt(pair, self._left_ns)
            if pair.shared:
                registry.feed(pair.call, CallEvent.THIRD_PARTY)
        orphaned = {*map(self._call_of_part, (*difference.orphan_channels, *difference.orphan_bridges))}
        for channel in difference.stranded:
            if call_of(channel.id) not in orphaned:
                registry.take(channel)
        remaining = await self._delete_orphans(difference)
        for channel in difference.stranded:
            # Where the old media channel of that name stays, Asterisk would go on with it, to another port.
            if call_of(channel.id) in orphaned - remaining and channel.id not in registry.presence.left:
                registry.take(channel)

    async def _delete_orphans(self, difference: Reconciliation) -> set[str]:
        """Delete orphans, a few at a time. Return the calls that still have one."""
        at_once = asyncio.Semaphore(MAX_DELETIONS_AT_ONCE)

        async def delete(request: Awaitable[None]) -> AriError | None:
            async with at_once:
                try:
                    await request
                except AriError as error:
                    return error
            return None

        names = (*difference.orphan_channels, *difference.orphan_bridges)
        client = self._context.client
        errors = await asyncio.gather(
            *(delete(client.delete_channel(name)) for name in difference.orphan_channels),
            *(delete(client.delete_bridge(name)) for name in difference.orphan_bridges),
        )
        failures = {name: error for name, error in zip(names, errors, strict=True) if error is not None}
        deleted = len(names) - len(failures)
        if deleted:
            self._context.counters.orphans_deleted += deleted
            log.info("channels and bridges without a call deleted", extra={"fields": {"count": deleted}})
        if failures:
            log.warning(
                "%d channels and bridges without a call can't be deleted; the next comparison tries again. %s",
                *(len(failures), next(iter(failures.values()))),
            )
        return {self._call_of_part(name) for name in failures}

    def _call_of_part(self, identifier: str) -> str:
        parsed = self._context.ids.parse(identifier)
        return parsed[0] if parsed is not None else identifier


def _incomplete(failures: Mapping[str, str]) -> str:
    """Return a sentence with Asterisk's words for each request that failed, and the usual causes."""
    return (
        f"Asterisk does not answer all requests of the comparison with its calls: {'; '.join(failures.values())}. "
        "The relay serves callers, and adopts calls through the requests that are answered. A channel whose Call-ID or "
        "extension is no UTF-8 makes GET /channels fail while it lives. For other causes, see Asterisk's log"
    )
