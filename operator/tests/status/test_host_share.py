from __future__ import annotations

from collections.abc import Callable

import pytest

from rtppool_core.contract.report import HostReport, LateByCause, Report, SlaReport, SlaViolation, WindowReport, Windows
from rtppool_operator.pools.spec import Pool
from rtppool_operator.relays.observed import PoolObservation
from rtppool_operator.status.conditions import add_times, conditions
from rtppool_operator.status.figures import figures
from rtppool_operator.status.write_policy import write_is_due

MET = SlaReport("Met", "WithinLimits", 9, 30)
VIOLATED = SlaReport("Violated", "LimitExceeded", 9, 30, False, (SlaViolation("maxLatePpm", 1_000, 6_065),))
STOLEN = HostReport(60, cpu_seconds=122.0, stolen_milliseconds=3_000)


@pytest.fixture
def message(
    seen: Callable[..., PoolObservation],
    pool: Pool,
    make_report: Callable[..., Report],
    make_window: Callable[..., WindowReport],
) -> Callable[..., str]:
    def of(verdict: SlaReport, machine: HostReport | None, **late: int) -> str:
        window = make_window(*[100] * 1000, late=LateByCause(**late))
        observation = seen(make_report(pool, sla=verdict, host=machine, windows=Windows(calls=window)))
        return next(each.message for each in conditions(observation) if each.type == "SLAMet")

    return of


@pytest.mark.parametrize("verdict", [MET, VIOLATED])
@pytest.mark.parametrize(
    ("machine", "late", "clause"),
    [
        (
            STOLEN,
            {"host": 5},
            "; host: it made all of the late packets late, because the hypervisor took processor time",
        ),
        (STOLEN, {"host": 5, "relay": 3}, "; host: it made most of the late packets late, because the hypervisor"),
        (STOLEN, {"host": 5, "echo": 7}, "; host: it made some of the late packets late, because the hypervisor"),
        (
            HostReport(60, throttled_milliseconds=40),
            {"host": 5},
            "; host: it made all of the late packets late, because a CPU limit of the relay's container held it back",
        ),
        (None, {"host": 5}, "; host: it made all of the late packets late; see status.host"),
    ],
)
def test_the_verdict_names_the_host_s_share_in_words(
    message: Callable[..., str], verdict: SlaReport, machine: HostReport | None, late: dict[str, int], clause: str
) -> None:
    assert clause in message(verdict, machine, **late)


@pytest.mark.parametrize("late", [{"relay": 5}, {"host": 0, "relay": 5}, {"source": 5}])
def test_without_a_packet_late_by_the_host_nothing_is_said(message: Callable[..., str], late: dict[str, int]) -> None:
    assert "host" not in message(MET, STOLEN, **late)


def test_words_and_sums_of_the_host_never_hurry_a_write(
    seen: Callable[..., PoolObservation],
    pool: Pool,
    make_report: Callable[..., Report],
    make_window: Callable[..., WindowReport],
) -> None:
    def status(machine: HostReport, **late: int) -> dict[str, object]:
        window = make_window(*[100] * 1000, late=LateByCause(**late))
        observation = seen(make_report(pool, sla=MET, host=machine, windows=Windows(calls=window)))
        times = add_times(conditions(observation), (), 3, "2026-01-01T00:00:00Z")
        return figures(observation) | {"conditions": times}

    quiet, stolen = status(HostReport(60, 122.0, 0), host=0), status(STOLEN, host=5)
    assert not write_is_due(quiet, stolen, 100.0, 114.9)
    assert write_is_due(quiet, stolen, 100.0, 115.0)
    more = status(HostReport(60, 122.0, 9_000), host=5)
    assert not write_is_due(stolen, more, 100.0, 1e9)
