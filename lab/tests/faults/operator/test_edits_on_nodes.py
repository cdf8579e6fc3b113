"""Times of edits in a relay's log, and their figures."""

from __future__ import annotations

import pytest

from lab.faults.operator.runs.node_edits import NodeEdit, applied_at, figures

LOG = """\
2026-11-25T08:00:00.100000000Z 2026-11-25T08:00:00+0000 INFO relay: ready
2026-11-25T08:00:01.250000001Z 2026-11-25T08:00:01+0000 INFO configuration applied pool=a/b generation=7 range=1-2
2026-11-25T08:00:01.500000000Z {"message": "configuration applied", "pool": "a/b", "generation": 8, "range": "1-2"}
2026-11-25T08:00:09.000000000Z {"message": "configuration applied", "pool": "a/b", "generation": 8, "range": "1-2"}
"""


def test_a_generation_is_applied_when_the_log_says_so_first_in_either_format() -> None:
    assert applied_at(LOG) == {7: pytest.approx(1795593601.25), 8: pytest.approx(1795593601.5)}


def test_an_edit_holds_where_its_p95_does() -> None:
    edits = [NodeEdit(0.5, 2.0)] * 38 + [NodeEdit(1.5, 4.0)]
    assert [each.holds for each in figures(edits, 2)] == [True, True]


def test_an_edit_does_not_hold_where_one_in_ten_is_slow() -> None:
    edits = [NodeEdit(0.5, 2.0)] * 18 + [NodeEdit(1.5, 4.0)] * 2
    assert [each.holds for each in figures(edits, 2)] == [False, False]
