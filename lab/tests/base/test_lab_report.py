import pytest

from lab.base.errors import LabError
from lab.base.report import Figure, figure_table, marks, replace_part, table

BEGIN, END = marks("make bench")


def test_the_text_between_the_marks_is_replaced_and_nothing_else() -> None:
    page = f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\nmore\n"
    once = replace_part(page, "make bench", "new\n")
    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"
    assert replace_part(once, "make bench", "new") == once


def test_other_parts_of_a_page_are_kept() -> None:
    first, last = marks("operator scale")
    other = "\nkept\n".join(marks("operator idle"))
    page = f"before\n{first}\nold\n{last}\n{other}\n"
    assert replace_part(page, "operator scale", "new") == f"before\n{first}\n\nnew\n\n{last}\n{other}\n"


@pytest.mark.parametrize("page", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END])
def test_a_page_without_the_two_marks_is_refused(page: str) -> None:
    with pytest.raises(LabError, match="once each"):
        replace_part(page, "make bench", "new")


def test_a_missed_bound_stands_out() -> None:
    figures = [Figure("a", "1", "2", holds=True), Figure("b", "3", "2", holds=False), Figure("c", "4")]
    rows = figure_table(figures).splitlines()
    assert rows[2:] == ["| a | 1 | 2 | holds |", "| b | 3 | 2 | **missed** |", "| c | 4 | – | |"]  # noqa: RUF001 a dash


def test_a_table_aligns_each_column() -> None:
    assert table(("name", "number"), "lr", [("a", 1)]) == "| name | number |\n| --- | --: |\n| a | 1 |"
