from __future__ import annotations

from lab.faults.calls.ports.ports import PORTS, run


def test_leases_with_kill_9_between_and_strangers_on_ports_are_never_double_and_never_lost() -> None:
    result = run(2_000, seed=7)
    assert result.findings == []
    assert (result.double, result.leaked, result.wrong_capacity) == (0, 0, 0)
    assert result.operations >= 2_000
    assert result.kills >= 2_000 // 150
    assert 0 < result.leased_when_killed < PORTS * result.kills
