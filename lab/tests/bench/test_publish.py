from __future__ import annotations

import pytest

from lab.bench.programs.compiled import BenchError
from lab.bench.results.publish import BEGIN, END, with_table


def test_the_table_between_the_marks_is_replaced_and_nothing_else() -> None:
    page = f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\nmore\n"
    once = with_table(page, "new\n")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    assert with_table(once, "new") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END])
def test_a_page_without_the_two_marks_is_refused(page: str) -> None:
    with pytest.raises(BenchError, match="once each"):
        with_table(page, "new")
