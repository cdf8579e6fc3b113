"""Polls of relays' `/status`: concurrent within bounds, with a timeout of one second each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp

from rtppool_core.contract.codec import Contract, ContractError, decode
from rtppool_core.contract.report import VERSION, Report
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.net.udp import host_port
from rtppool_core.process.secret_file import SecretFile, SecretFileError
from rtppool_operator.pools.cluster_view import RelayPod
from rtppool_operator.relays.observed import Failure, LastReport
from rtppool_operator.relays.report_bounds import check_node, check_report

TIMEOUT_SECONDS = 1.0
MAX_POLLS_IN_FLIGHT = 32
# Reserved for urgent polls, so that silent relays do not delay them.
MAX_URGENT_POLLS = 8
MAX_REPORT_BYTES = 4 << 20


class IncompatibleReportError(ContractError):
    """A report of a version that this operator does not read."""


class _Version(Contract, frozen=True):
    version: Any = VERSION


class Poller:
    """Keeps the last report of each relay. `last_reports` and `failures` are by pod uid."""

    def __init__(
        self,
        token: SecretFile | None,
        authority: TrustedAuthority | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self._token = token
        self._authority = authority
        self._monotonic = monotonic
        self._unix = unix
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(MAX_POLLS_IN_FLIGHT - MAX_URGENT_POLLS)
        self._urgent_slots = asyncio.Semaphore(MAX_URGENT_POLLS)
        self._polled_at: dict[str, float] = {}
        self.last_reports: dict[str, LastReport] = {}
        self.failures: dict[str, Failure] = {}
        self.polls = 0
        self.failed_polls = 0

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def poll(
        self, relays: Iterable[RelayPod], present: Iterable[RelayPod] | None = None, *, urgent: bool = False
    ) -> None:
        """Poll `relays`, and forget relays that are not in `present` (None: not in `relays`).

        Polls may overlap. An `urgent` poll does not wait for the silent relays of another one.
        """
        polled = list(relays)
        uids = {relay.uid for relay in (polled if present is None else present)}
        for held in (self.last_reports, self.failures, self._polled_at):
            for uid in [uid for uid in held if uid not in uids]:
                del held[uid]
        headers = await asyncio.to_thread(self._headers)
        slots = self._urgent_slots if urgent else self._slots
        await asyncio.gather(*(self._poll(relay, headers, slots) for relay in polled))

    async def _poll(self, relay: RelayPod, headers: dict[str, str], slots: asyncio.Semaphore) -> None:
        async with slots:
            self.polls += 1
            began = self._monotonic()
            try:
                report = await self._report(relay, headers)
            except Exception as error:  # noqa: BLE001 no response of a relay may stop the polls of the others
                self.failed_polls += 1
                self.failures[relay.uid] = Failure(
                    self._reason(relay, error), isinstance(error, IncompatibleReportError)
                )
                return
        if began < self._polled_at.get(relay.uid, began):
            # A later poll has already brought a newer report.
            return
        self._polled_at[relay.uid] = began
        self.failures.pop(relay.uid, None)
        self.last_reports[relay.uid] = LastReport(report, self._monotonic(), int(self._unix()))

    async def _report(self, relay: RelayPod, headers: dict[str, str]) -> Report:
        if relay.address is None:
            raise OSError("the pod has no address yet")
        tls: dict[str, Any] = {}
        if self._authority is not None:
            # Relays are reached by address, and one certificate serves all of them.
            tls = {"ssl": self._authority.context(), "server_hostname": self._authority.server_name}
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                # Relays compress nothing, and a small compressed body can be a large one.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        url = f"{'https' if tls else 'http'}://{host_port(relay.address, relay.port)}/status"
        async with self._session.get(url, headers=headers, allow_redirects=False, **tls) as response:
            if response.status != 200:  # noqa: PLR2004 HTTP's OK
                raise OSError(f"it answered {response.status}")
            body = await _bounded(response)
        report = read_report(body)
        check_node(report, relay.node)
        return report

    def _reason(self, relay: RelayPod, error: BaseException) -> str:
        where = f"{relay.address}:{relay.port}"
        if isinstance(error, TimeoutError):
            return f"{where} did not answer within {TIMEOUT_SECONDS:.0f} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError) and self._authority is not None:
            problem = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            return f"{where}: its certificate is not accepted ({problem}); {self._authority.requirement}"
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return (
                f"{where} does not speak TLS ({error.os_error.reason or error.os_error}); is http.tlsSecret set for it?"
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"{where} can't be connected ({error.os_error.strerror or 'refused'})"
        return f"{where}: {str(error) or type(error).__name__}"

    def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token.value()}"}
        except SecretFileError:
            # The relays' 401 becomes the pools' condition. The log has the cause.
            return {}


def read_report(body: bytes) -> Report:
    """Read a relay's report. An accepted report can be merged with others, histograms included.

    Raises:
        IncompatibleReportError: the report has another version; the rest of it is not read.
        ContractError: not JSON, or a field is missing or has the wrong type.
        ValueError: a histogram of another scheme, or an impossible figure.
    """
    version = decode(_Version, body).version
    if version != VERSION:
        raise IncompatibleReportError(f"its report has version {str(version)[:20]}; accepted is {VERSION}")
    report = decode(Report, body)
    check_report(report)
    return report


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPORT_BYTES:
            raise OSError(f"its report is larger than {MAX_REPORT_BYTES} bytes")
    return bytes(body)
