import threading
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.steps import Steps
from lab.base.turns import hold_lock, hold_machine
from rtppool_testing.ports import free_port


def test_a_second_run_says_that_it_waits_and_goes_on_when_the_first_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps, lock = Steps(tmp_path), tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with hold_lock(lock, steps.say):
            order.append("second")

    thread = threading.Thread(target=second)
    with hold_lock(lock, steps.say):
        thread.start()
        thread.join(timeout=0.3)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
    assert "another run is at work" in capsys.readouterr().err


def test_a_second_run_on_the_machine_is_refused_until_the_first_ends() -> None:
    port = free_port()  # a benchmark may hold the machine's own port meanwhile
    with hold_machine(port), pytest.raises(LabError, match="a benchmark or a fault run is at work"), hold_machine(port):
        pass
    with hold_machine(port):
        pass
