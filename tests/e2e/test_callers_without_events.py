"""Callers whose Call-ID or called user is no UTF-8, with Asterisk 22 and SIPp. GET /channels fails while one lives.

Asterisk and SIPp run as processes from root file systems, as in `make chaos`. The cluster is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.base.waiting import wait_until
from lab.faults.calls.places import HELD_RTP_PORT, TRIAL_RTP_PORT
from lab.faults.calls.rig.callers import Plan
from lab.faults.calls.rig.rig import TAKES_ALL, Ports, Rig, running_rig
from lab.faults.calls.rig.rooted import PhoneRoots

ORDINARY = 10
SERVED_SECONDS = 5.0
# The restart of a relay on a busy machine.
RESTART_SECONDS = 60.0
LONG_SECONDS = 300.0
FAR_RTP_PORT = TRIAL_RTP_PORT + 200

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


async def calls_of(rig: Rig) -> dict[str, Any]:
    status = await rig.relay_view.status()
    return {} if status is None else dict(status["calls"])


async def until(rig: Rig, expected: str, holds: Callable[[dict[str, Any]], bool], within_seconds: float) -> float:
    """Wait until the counts of calls are as expected, and return the seconds passed."""

    async def is_met() -> bool:
        counts = await calls_of(rig)
        return bool(counts) and holds(counts)

    return await wait_until(expected, is_met, within_seconds)


async def reconnects_of(rig: Rig) -> int:
    status = await rig.relay_view.status()
    return -1 if status is None else int(status["ari"]["reconnects"])


async def finding_of(rig: Rig) -> str:
    status = await rig.relay_view.status()
    findings = [] if status is None else status["preflight"]
    return " ".join(each["sentence"] for each in findings if each["code"] == "ComparisonIncomplete")


async def test_odd_callers_cost_no_other_call_and_are_served_during_calls_and_across_a_restart_and_a_lost_websocket(
    roots: PhoneRoots, folder: Path
) -> None:
    async with running_rig(roots, folder, Ports(), through_proxy=True, chain=TAKES_ALL) as rig:
        ordinary = Plan("ordinary", ORDINARY, LONG_SECONDS, HELD_RTP_PORT)
        odd = Plan("odd", 1, LONG_SECONDS, TRIAL_RTP_PORT, scenario="odd")
        foreign = Plan("foreign", 1, LONG_SECONDS, FAR_RTP_PORT, scenario="odd", called="foreign")
        async with rig.callers.calling(ordinary):
            await until(rig, "all are served", lambda counts: counts["active"] == ORDINARY, 20)
            async with rig.callers.calling(odd) as odd_call, rig.callers.calling(foreign):
                await wait_until("the odd caller is answered", lambda: odd_call.outcome().answered, SERVED_SECONDS)
                await wait_until("the finding", lambda: finding_of(rig), 20)
                assert "Allocation failed" in await finding_of(rig)

                # Before the relay's start: both odd callers, and all others, are there when it connects.
                starts = rig.relay.starts
                rig.relay.kill()
                await rig.relay.wait_for_restart(starts, RESTART_SECONDS)
                await until(rig, "all are adopted", lambda counts: counts["adopted"] == ORDINARY + 1, RESTART_SECONDS)

                # Across a lost websocket: none ends, and none is counted again.
                before = await reconnects_of(rig)
                assert rig.proxy is not None
                rig.proxy.reset()

                async def is_connected_again() -> bool:
                    return await reconnects_of(rig) > before and await rig.is_connected()

                await wait_until("connected again", is_connected_again, 20)
                newcomer = Plan("newcomer", 1, LONG_SECONDS, FAR_RTP_PORT + 10)
                async with rig.callers.calling(newcomer) as call:
                    await wait_until("a new caller is answered", lambda: call.outcome().answered, 10)
                    counts = await calls_of(rig)
                    assert (counts["active"], counts["arrived"]) == (ORDINARY + 2, ORDINARY + 2)
                    assert (counts["ended"], counts["refused"]) == (0, {})


@pytest.mark.parametrize(("scenario", "called"), [("odd", "1000"), ("hold", "1000%ff")])
async def test_an_odd_caller_s_hang_up_is_noticed_without_an_event_and_counted_once(
    roots: PhoneRoots, folder: Path, scenario: str, called: str
) -> None:
    async with running_rig(roots, folder, Ports(), chain=TAKES_ALL) as rig:
        plan = Plan("odd", 1, 5, TRIAL_RTP_PORT, scenario=scenario, called=called)
        async with rig.callers.calling(plan) as odd_call:
            outcome = await odd_call.finish(20)
            assert len(outcome.talked) == 1
        await until(rig, "its end is noticed", lambda counts: counts["active"] == 0, SERVED_SECONDS)
        counts = await calls_of(rig)
        assert (counts["arrived"], counts["endedBy"]) == (1, {"callerGone": 1})


async def test_an_odd_caller_without_a_port_is_given_back_with_the_reason(roots: PhoneRoots, folder: Path) -> None:
    ordinary = Plan("ordinary", 1, LONG_SECONDS, HELD_RTP_PORT)
    odd = Plan("odd", 1, LONG_SECONDS, TRIAL_RTP_PORT, scenario="odd")
    async with running_rig(roots, folder, Ports(11500, 11500), chain=TAKES_ALL) as rig, rig.callers.calling(ordinary):
        await until(rig, "the port is taken", lambda counts: counts["active"] == 1, 10)
        async with rig.callers.calling(odd):
            await wait_until(
                "the odd caller is given back", lambda: "refused=NoFreePort" in rig.dialplan_log(), SERVED_SECONDS
            )
        await until(rig, "it is counted", lambda counts: counts["refused"] == {"NoFreePort": 1}, SERVED_SECONDS)
        assert (await calls_of(rig))["arrived"] == 2
