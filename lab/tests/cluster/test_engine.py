from pathlib import Path
from types import SimpleNamespace
from typing import cast

from lab.base.places import Places
from lab.base.steps import Steps
from lab.cluster.host.docker import Docker
from lab.cluster.host.engine import WRAPPER, Engine
from lab.cluster.host.machine import Machine


def test_a_running_engine_gets_its_wrapper_back_after_the_cache_was_deleted(tmp_path: Path) -> None:
    wrapper = tmp_path / "deleted" / WRAPPER.name
    docker = SimpleNamespace(
        answers=lambda: True, default_runtime=lambda: "bounded", runtime_path=lambda _name: wrapper
    )
    machine = cast("Machine", SimpleNamespace(may_raise_limits=False, is_root=True))
    Engine(cast("Docker", docker), machine, Places(tmp_path), Steps(tmp_path / "logs")).up()
    assert wrapper.read_bytes() == WRAPPER.read_bytes()
    assert wrapper.stat().st_mode & 0o111 == 0o111
