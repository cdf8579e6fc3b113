import threading
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.parallel import side_by_side
from lab.base.steps import Steps, ask, clock


def test_a_failed_step_tells_its_code_the_end_of_its_output_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabError) as caught:
        Steps(tmp_path).run(
            "try it", ["sh", "-c", "echo no such thing; exit 3"], expected_seconds=1, advice="Look here."
        )
    text = str(caught.value)
    assert text.startswith("try it: ended with code 3")
    assert "    no such thing" in text
    assert text.endswith("Look here.")
    assert "no such thing" in (tmp_path / "try-it.log").read_text()


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no-such-program could not be started: No such file"):
        Steps(tmp_path).run("try it", ["no-such-program"], expected_seconds=1)


def test_progress_goes_to_stderr_so_that_stdout_is_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Steps(tmp_path).run("try it", ["sh", "-c", "echo quiet"], expected_seconds=60)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["try it: started, up to 1:00 the first time", "try it: done in 0:00"]


def test_a_question_to_a_missing_or_slow_program_has_a_code_of_its_own() -> None:
    assert ask(["no-such-program"]).returncode == 127
    assert ask(["sleep", "20"], seconds=0.1).returncode == 124
    assert ask(["echo", "yes"]).stdout == "yes\n"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.4, "0:59"), (65, "1:05"), (600, "10:00")])
def test_times_are_shown_in_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_when_one_of_two_jobs_fails_the_steps_of_the_other_are_stopped(tmp_path: Path) -> None:
    steps = Steps(tmp_path)
    ended: list[str] = []
    running = threading.Event()

    def long_job() -> None:
        running.set()
        with pytest.raises(LabError, match="stopped, because another step failed"):
            steps.run("long", ["sleep", "50"], expected_seconds=1)
        ended.append("long")

    def failing_job() -> None:
        running.wait()
        message = "broken"
        raise LabError(message)

    with pytest.raises(LabError, match="broken"):
        side_by_side(steps, long_job, failing_job)
    assert ended == ["long"]


def test_two_jobs_that_end_well_are_both_done(tmp_path: Path) -> None:
    ended: list[int] = []
    side_by_side(Steps(tmp_path), lambda: ended.append(1), lambda: ended.append(2))
    assert sorted(ended) == [1, 2]
