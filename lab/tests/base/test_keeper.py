from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.base.errors import LabError
from lab.base.keeper import Keeper
from lab.base.waiting import wait_until

WAIT_SECONDS = 20
VARIABLES = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    kept = Keeper("sleeper", ["sleep", "600"], VARIABLES, tmp_path / "log")
    await kept.start()
    yield kept
    await kept.close()


async def test_a_killed_process_is_started_again_at_once(keeper: Keeper) -> None:
    first = keeper.pid
    keeper.kill()
    await keeper.wait_for_restart(1, WAIT_SECONDS)
    assert keeper.pid != first


async def test_a_held_process_stays_down_until_it_is_released(keeper: Keeper) -> None:
    keeper.hold()
    keeper.end()
    with pytest.raises(LabError, match="not started again"):
        await keeper.wait_for_restart(1, 0)
    keeper.release()
    await keeper.wait_for_restart(1, WAIT_SECONDS)


async def test_a_process_that_ends_at_once_every_time_is_given_up(tmp_path: Path) -> None:
    kept = Keeper("broken", ["sh", "-c", "echo no; exit 3"], VARIABLES, tmp_path / "log", 0.5)
    await kept.start()
    await wait_until("given up", lambda: kept.has_given_up, WAIT_SECONDS)
    with pytest.raises(LabError, match="times in a row:\n    no"):
        await kept.close()


async def test_a_process_that_ends_at_once_for_a_while_is_started_again_until_it_runs(tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/may-run ] && touch {tmp_path}/runs && exec sleep 600"
    kept = Keeper("late", ["sh", "-c", script], VARIABLES, tmp_path / "log")
    await kept.start()
    await wait_until("many starts", lambda: kept.starts > 5, WAIT_SECONDS)
    (tmp_path / "may-run").touch()
    await wait_until("it runs", (tmp_path / "runs").exists, WAIT_SECONDS)
    await kept.close()
