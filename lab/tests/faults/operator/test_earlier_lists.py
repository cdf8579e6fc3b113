from __future__ import annotations

import pytest

from lab.faults.operator.api.earlier_lists import Source, source


@pytest.mark.parametrize(
    ("asked", "match", "expected"),
    [
        ("", "", "earlier"),
        ("0", "", "earlier"),
        ("0", "NotOlderThan", "earlier"),
        ("90", "NotOlderThan", "earlier"),
        ("100", "NotOlderThan", "earlier"),
        ("101", "NotOlderThan", "too large"),
        ("101", "", "too large"),
        ("100", "Exact", "earlier"),
        ("90", "Exact", "server"),
        ("101", "Exact", "too large"),
    ],
)
def test_a_cache_that_is_behind_answers_as_the_versions_of_the_api_demand(
    asked: str, match: str, expected: Source
) -> None:
    assert source(asked, match, kept=100) == expected
