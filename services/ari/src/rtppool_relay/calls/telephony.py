"""The entrance to the life of a call: calls from one Asterisk, or the reason why there are none.

A call is read in this order: this module, registry, runner, table, record, comparison, and `ari/rest` for its requests.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator

from rtppool_core.contract.report import AriReport, CallsReport, Finding
from rtppool_core.process.periodic import PeriodicJobs
from rtppool_core.process.secret_file import SecretFile
from rtppool_relay.ari.credentials import Credentials, CredentialSource
from rtppool_relay.ari.rest import AriClient
from rtppool_relay.ari.session import AriSession
from rtppool_relay.calls.comparison import Comparison
from rtppool_relay.calls.hand_over import publish_departure, wait_until_unregistered
from rtppool_relay.calls.ids import CallIds
from rtppool_relay.calls.record import CallCounters, CallRecord
from rtppool_relay.calls.registry import CallRegistry
from rtppool_relay.calls.runner import CallContext
from rtppool_relay.ports.interface import PortAllocator
from rtppool_relay.settings import Settings

log = logging.getLogger(__name__)

NOT_CONFIGURED = "ARI_USER is not set; set ARI_USER and ARI_PASS (or ARI_USER_FILE and ARI_PASS_FILE) to take calls"


class Telephony:
    """Calls from one Asterisk. Without credentials there are none, and the report contains the reason.

    `observe_address` gets the relay's own address on each connection to Asterisk. `jobs` counts the failures of the
    connection's jobs.
    """

    def __init__(
        self,
        settings: Settings,
        ports: PortAllocator,
        observe_address: Callable[[str], None],
        jobs: PeriodicJobs,
    ) -> None:
        user_file, password_file = settings.ari_user_file, settings.ari_password_file
        self._credentials = CredentialSource(
            Credentials(settings.ari_user, settings.ari_password),
            SecretFile("ARI_USER_FILE", user_file) if user_file else None,
            SecretFile("ARI_PASS_FILE", password_file) if password_file else None,
        )
        self._application = settings.application
        self._configured = asyncio.Event()
        self._draining = False
        self._client = AriClient(
            settings.ari_url,
            settings.ari_user,
            settings.ari_password,
            settings.ari_tls,
            observe_address=observe_address,
        )
        self._ids = CallIds.of_relay(settings.node_name, settings.application)
        self._calls = CallRegistry(
            CallContext(
                client=self._client,
                ports=ports,
                ids=self._ids,
                application=settings.application,
                counters=CallCounters(),
                monotonic=time.monotonic,
                wall_ns=time.time_ns,
                draining=lambda: self._draining,
                old_ids=(CallIds.of_node(settings.node_name),),
                caller_numbers=settings.caller_numbers,
            )
        )
        self._comparison = Comparison(self._calls)
        self._session = AriSession(
            *(self._client, settings.ari_url, settings.application, self._calls, self._comparison),
            *(time.time_ns, random.uniform, jobs),
        )
        self._use_credentials()

    @property
    def active_calls(self) -> int:
        """Calls that have not ended."""
        return self._calls.active_calls

    async def run(self) -> None:
        """Take calls until cancelled."""
        await self._configured.wait()
        await self._session.run()

    async def wait_for_adoptions(self) -> None:
        """Return when calls of a former relay have been adopted, or the first connection has failed."""
        if self._configured.is_set():
            await self._session.first_attempt_ended.wait()
            await self._calls.wait_for_adoptions()

    def refresh_credentials(self) -> None:
        """Use credentials that have changed in their files, also the first ones. Call it every few seconds."""
        if self._credentials.refresh():
            self._use_credentials()
            log.info("the credentials of ARI have changed", extra={"fields": {"user": self._credentials.current.user}})

    def _use_credentials(self) -> None:
        credentials = self._credentials.current
        if credentials.user:
            self._client.use_credentials(credentials.user, credentials.password)
            self._configured.set()

    def iterate_calls(self) -> Iterator[CallRecord]:
        """Yield the live calls, oldest first, each with its figures at that moment."""
        return self._calls.iterate_calls()

    def live_records(self) -> Iterator[CallRecord]:
        """Yield the live calls, oldest first, without their figures of this moment."""
        return self._calls.live_records()

    def find_call(self, call: str) -> CallRecord | None:
        """Return a live or a recent call; None where there is none."""
        return self._calls.find(call)

    def live_calls(self) -> list[CallRecord]:
        """Return the live calls, oldest first."""
        return self._calls.live_calls()

    def recent_calls(self) -> list[CallRecord]:
        """Return the last ended calls, newest first."""
        return self._calls.recent_calls()

    def check_sound(self) -> None:
        """Find calls without sound. Call it about every second."""
        self._calls.check_sound()

    def calls_report(self) -> CallsReport:
        """Return the counts of calls."""
        return self._calls.report()

    def ari_report(self) -> AriReport:
        """Return the state of the connection to Asterisk, with the reason where there is none."""
        if not self._configured.is_set():
            return AriReport("NotConfigured", 0, reason=NOT_CONFIGURED)
        return self._session.report()

    def findings(self) -> tuple[Finding, ...]:
        """Return the conditions of Asterisk that a reader of `/status` should know."""
        return self._comparison.findings()

    def begin_drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    async def wait_until_idle(self) -> None:
        """Return when no call is left."""
        await self._calls.wait_until_idle()

    async def cut_all(self) -> int:
        """End all calls now and return their number."""
        return await self._calls.cut_all()

    async def wait_until_unregistered(self) -> None:
        """Wait until the next relay may register the application. Call it after `run` was cancelled.

        An application that channels of calls hold outlives its connection, so there is nothing to wait for.
        """
        if self._configured.is_set() and self.active_calls == 0:
            await wait_until_unregistered(self._client, self._application)

    async def publish_departure(self) -> None:
        """Leave the time for the next relay on this node. Call it after `run` was cancelled."""
        if self._configured.is_set():
            await publish_departure(self._client, self._ids, time.time_ns)

    async def close(self) -> None:
        """Close all ports and connections."""
        await self._calls.close()
        await self._client.close()
