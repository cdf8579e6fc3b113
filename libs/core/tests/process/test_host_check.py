from __future__ import annotations

import errno
import mmap
import os
import select
from pathlib import Path
from typing import NoReturn

import pytest

from rtppool_core.process.host_check import require_executable_memory, require_linux


def refused(*_words: object, **_named: object) -> NoReturn:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_this_machine_has_everything() -> None:
    require_linux("x")
    require_executable_memory("x")


@pytest.mark.parametrize(("module", "call"), [(os, "memfd_create"), (select, "epoll"), (os, "pidfd_open")])
def test_a_system_without_a_call_of_linux_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, module: object, call: str
) -> None:
    monkeypatch.delattr(module, call)
    with pytest.raises(SystemExit, match=rf"^rtp-x: this system \(linux\) has no {call}; it needs Linux .* container"):
        require_linux("rtp-x")


@pytest.mark.parametrize(("module", "call"), [(os, "memfd_create"), (select, "epoll"), (os, "pidfd_open")])
def test_a_call_that_a_sandbox_refuses_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, module: object, call: str
) -> None:
    monkeypatch.setattr(module, call, refused)
    with pytest.raises(SystemExit, match=rf"^rtp-x: {call} fails \(Operation not permitted\); it needs .*seccomp"):
        require_linux("rtp-x")


def test_a_machine_without_executable_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", refused)
    with pytest.raises(SystemExit, match=r"^rtp-x: this machine permits no executable memory .*MemoryDenyWriteExecute"):
        require_executable_memory("rtp-x")


def test_the_checks_keep_no_descriptor() -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    require_linux("x")
    require_executable_memory("x")
    assert sorted(Path("/proc/self/fd").iterdir()) == before
