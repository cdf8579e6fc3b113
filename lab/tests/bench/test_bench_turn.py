from __future__ import annotations

import pytest

from lab.bench.programs.compiled import BenchError
from lab.bench.turn import own_turn


def test_a_second_bench_is_told_of_the_first_and_has_its_turn_after_it() -> None:
    with own_turn(), pytest.raises(BenchError, match="another bench runs"), own_turn():
        pass
    with own_turn():
        pass
