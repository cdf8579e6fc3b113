import threading
from pathlib import Path

import pytest

from lab.base.steps import Steps
from lab.base.turns import own_turn


def test_a_second_run_says_that_it_waits_and_goes_on_when_the_first_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps, lock = Steps(tmp_path), tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with own_turn(lock, steps):
            order.append("second")

    thread = threading.Thread(target=second)
    with own_turn(lock, steps):
        thread.start()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
    assert "another run is at work" in capsys.readouterr().err
