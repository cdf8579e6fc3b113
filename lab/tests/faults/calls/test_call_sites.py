import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.faults.calls.rig.call_sites import BY_TURNS, CallSites, Site

PROGRAM = """
import errno, os, select, socket, subprocess, sys
def act(name, call):
    try:
        call()
    except OSError as error:
        print(name, errno.errorcode[error.errno])
for _ in range(4):
    act("pipe", os.pipe)
    act("socket", socket.socket)
    act("epoll_create", select.epoll)
    act("memfd_create", lambda: os.memfd_create("x"))
    act("open", lambda: os.open("/dev/null", os.O_RDONLY))
    act("fork", lambda: subprocess.run(["true"]))
"""


def run(sites: CallSites, program: str = PROGRAM) -> str:
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **sites.variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


@pytest.fixture
def sites(tmp_path: Path) -> CallSites:
    return CallSites(tmp_path)


def found(sites: CallSites, function: str) -> Site:
    return next(each for each in sites.all_listed() if each.function == function and "<string>" in each.frames)


def test_every_call_site_is_listed_with_its_function_and_frames(sites: CallSites) -> None:
    assert run(sites) == ""
    own = {each.function for each in sites.all_listed() if "<string>" in each.frames or "socket.py" in each.frames}
    assert own >= {"pipe", "socket", "epoll_create", "memfd_create", "open"}
    assert any("_execute_child" in each.frames for each in sites.all_listed() if each.function == "fork")


def test_one_call_of_one_site_fails(sites: CallSites) -> None:
    run(sites)
    with sites.failing(found(sites, "epoll_create"), errno.EMFILE):
        assert run(sites) == "epoll_create EMFILE\n"
        assert sites.hits == 1
    assert run(sites) == ""


def test_calls_of_a_site_fail_for_a_while_with_both_errors_by_turns(sites: CallSites) -> None:
    run(sites)
    with sites.failing(found(sites, "pipe"), BY_TURNS, seconds=30.0):
        assert run(sites).split() == ["pipe", "EMFILE", "pipe", "ENOMEM"] * 2
    with sites.failing(found(sites, "pipe"), errno.EMFILE, seconds=-1.0):
        assert run(sites) == ""


def test_a_fork_fails(sites: CallSites) -> None:
    run(sites)
    site = next(each for each in sites.all_listed() if each.function == "fork" and "_execute_child" in each.frames)
    with sites.failing(site, errno.ENOMEM):
        assert run(sites) == "fork ENOMEM\n"


def test_sites_are_listed_anew_in_a_block(sites: CallSites) -> None:
    run(sites)
    again: list[Site] = []
    with sites.list_reached(again):
        run(sites, "import os; os.pipe()")
    assert [each.function for each in again if "<string>" in each.frames] == ["pipe"]
