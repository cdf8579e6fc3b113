"""The watch on `pools.json` goes on after any failure, and applies each state until that has succeeded once."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtppool_relay.config import ConfigState, from_environment
from rtppool_relay.pools_file import PoolsFileWatcher
from rtppool_relay.settings import read_settings

TOO_MANY = OSError(errno.EMFILE, "Too many open files")


def document(generation: int) -> str:
    entry = {
        "name": "default",
        "namespace": "voice",
        "uid": "u-1",
        "generation": generation,
        "nodes": [{"name": "mine"}],
        "portRange": {"start": 20000, "end": 20009},
    }
    return json.dumps({"version": 1, "pools": [entry]})


def write(path: Path, generation: int) -> None:
    new = path.with_suffix(".new")
    new.write_text(document(generation), encoding="utf-8")
    new.replace(path)


def replace_in_place(path: Path, text: str) -> None:
    """Write a text into the same file, and keep its time of modification."""
    found = path.stat()
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def overwrite(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(1, 1))


def remove(path: Path) -> None:
    path.unlink()


def size(path: Path) -> int:
    return path.stat().st_size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pools.json"
    write(path, 1)
    return path


@pytest.fixture
def watcher(path: Path) -> PoolsFileWatcher:
    settings = read_settings({"NODE_NAME": "mine", "POOL_CONFIG": str(path)})
    return PoolsFileWatcher(settings, ConfigState(from_environment(settings)))


def failing(real: Callable[..., Any], *errors: BaseException) -> Callable[..., Any]:
    """Return a function that raises the given errors in turn, and then calls the real one."""
    left = list(errors)

    def fail_or_call(*arguments: Any, **options: Any) -> Any:
        if left:
            raise left.pop(0)
        return real(*arguments, **options)

    return fail_or_call


async def apply() -> None:
    """Accept every configuration."""


@pytest.mark.parametrize("error", [TOO_MANY, OSError(errno.EIO, "x"), OSError(errno.ENOMEM, "x"), MemoryError()])
@pytest.mark.parametrize("method", ["read_text", "stat"])
async def test_a_file_that_could_not_be_read_is_read_again(
    path: Path, watcher: PoolsFileWatcher, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str
) -> None:
    write(path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, failing(getattr(Path, method), error))
        await watcher.check(apply)
        assert watcher.state.config.generation == 1
        assert str(path) in str(watcher.state.error)
        assert "can't be read: " in str(watcher.state.error)
        await watcher.check(apply)
    assert (watcher.state.config.generation, watcher.state.error) == (2, None)


async def test_a_file_that_could_not_be_read_at_the_start_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings({"NODE_NAME": "mine", "POOL_CONFIG": str(path)})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing(Path.read_text, TOO_MANY))
        watcher = PoolsFileWatcher(settings, ConfigState(from_environment(settings)))
        assert watcher.state.config.generation is None
    await watcher.check(apply)
    assert watcher.state.config.generation == 1


async def test_an_invalid_file_is_read_again_although_its_identity_is_the_same(
    path: Path, watcher: PoolsFileWatcher
) -> None:
    overwrite(path, "{" + " " * (size(path) - 1))
    await watcher.check(apply)
    assert watcher.state.error is not None
    replace_in_place(path, document(7))
    await watcher.check(apply)
    assert (watcher.state.config.generation, watcher.state.error) == (7, None)


async def test_a_configuration_is_applied_again_until_that_has_succeeded(path: Path, watcher: PoolsFileWatcher) -> None:
    applied: list[int | None] = []

    async def apply_at_the_second_attempt() -> None:
        applied.append(watcher.state.config.generation)
        if len(applied) == 1:
            raise TOO_MANY

    write(path, 2)
    with pytest.raises(OSError, match="Too many open files"):
        await watcher.check(apply_at_the_second_attempt)
    await watcher.check(apply_at_the_second_attempt)
    await watcher.check(apply_at_the_second_attempt)
    assert applied == [2, 2]


async def test_a_missing_file_keeps_the_last_good_configuration(path: Path, watcher: PoolsFileWatcher) -> None:
    remove(path)
    await watcher.check(apply)
    assert (watcher.state.config.generation, watcher.state.error) == (1, None)
    write(path, 2)
    await watcher.check(apply)
    assert watcher.state.config.generation == 2


async def test_the_reason_is_logged_once(
    path: Path, watcher: PoolsFileWatcher, caplog: pytest.LogCaptureFixture
) -> None:
    overwrite(path, "{")
    for _ in range(5):
        await watcher.check(apply)
    assert len(caplog.records) == 1
