"""The parts of a report that a reader learns at once, and how a reader waits for the next report.

`/status?after=POSITION&waitSeconds=N` answers when the report has changed, with 204 when it has not for N seconds. The
answer lacks the figures of the windows, which always change; the reader asks for a whole report from time to time.
"""

from __future__ import annotations

from typing import Any

from rtppool_core.contract.report import Report

# The names of the query of `/status`.
AFTER, WAIT_SECONDS = "after", "waitSeconds"
DEFAULT_WAIT_SECONDS = 10
MAX_WAIT_SECONDS = 20
# A change of the numbers of calls and ports alone is told at most this often.
COUNTS_SECONDS = 2.0
NO_CHANGE = 204
# A position becomes part of an address.
POSITION = "[A-Za-z0-9.-]{1,64}"


def urgent_part(report: Report) -> tuple[Any, ...]:
    """Return what changes a pool's conditions: the configuration, their inputs, and the verdict without its figures."""
    ports, sla = report.ports, report.sla
    return (
        report.pool,
        report.applied_generation,
        report.config_error,
        report.ready,
        report.not_ready,
        report.draining,
        ports.range,
        ports.total <= ports.quarantined,
        ports.quarantine,
        report.echo,
        report.ari.state,
        report.ari.reason,
        sla.result,
        sla.reason,
        tuple(violation.limit for violation in sla.violations),
        sla.missing,
        sla.capacity_calls,
        sla.unreachable_tiers,
    )
