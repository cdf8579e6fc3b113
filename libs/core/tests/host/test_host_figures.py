from __future__ import annotations

from rtppool_core.host.figures import HostFigures, total


def test_a_figure_that_no_second_has_stays_absent() -> None:
    assert total([]) == HostFigures()
    assert total([HostFigures(stolen_ns=1), HostFigures(stolen_ns=2)]).throttled_ns is None


def test_figures_of_seconds_add_up_also_where_some_seconds_lack_them() -> None:
    added = total([HostFigures(stolen_ns=1), HostFigures(run_delay_ns=5), HostFigures(stolen_ns=2)])
    assert (added.stolen_ns, added.run_delay_ns) == (3, 5)


def test_stalls_add_up_by_processor() -> None:
    added = total([HostFigures(stalled_ns={0: 1, 1: 2}), HostFigures(stalled_ns={1: 3, 2: 4}), HostFigures()])
    assert added.stalled_ns == {0: 1, 1: 5, 2: 4}
