"""Looks at the host with `preflight`, keeps what it finds, and says every change of it once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rtppool_core.contract.report import Finding
from rtppool_relay.config import RelayConfig
from rtppool_relay.ports.call_ports import CallPorts
from rtppool_relay.ports.host_facts import read_host_facts
from rtppool_relay.ports.preflight import Planned, preflight

log = logging.getLogger(__name__)


class PreflightWatch:
    """`findings` are those of the last look.

    `config` tells the configuration in force, `stamps_reason` why receive stamps are not the kernel's, if so.
    `real_time_expected`: media processes should have real-time priority.
    """

    def __init__(
        self,
        config: Callable[[], RelayConfig],
        call_ports: CallPorts,
        stamps_reason: str | None,
        *,
        in_cluster: bool,
        real_time_expected: bool = False,
    ) -> None:
        self._config = config
        self._call_ports = call_ports
        self._stamps_reason = stamps_reason
        self._in_cluster = in_cluster
        self._real_time_expected = real_time_expected
        self.findings: tuple[Finding, ...] = ()

    def look(self) -> None:
        """Look at the start, when the ports were tried, and every few seconds."""
        before, self.findings = self.findings, self._found()
        for each in self.findings:
            if each not in before:
                inferred = " (inferred)" if each.inferred else ""
                log.warning("preflight%s: %s", inferred, each.sentence, extra={"fields": {"code": each.code}})
        for code in sorted({each.code for each in before} - {each.code for each in self.findings}):
            log.info("preflight: no longer %s", code)

    def _found(self) -> tuple[Finding, ...]:
        config = self._config()
        return preflight(
            read_host_facts(self._in_cluster),
            Planned(config.port_range, config.excluded_ports, config.echo.port),
            self._call_ports.ports.report(),
            self._call_ports.asterisk,
            self._stamps_reason,
            real_time_refused=self._real_time_expected and not self._call_ports.supervisor.real_time(),
        )
