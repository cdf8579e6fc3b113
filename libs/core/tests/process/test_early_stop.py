from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest

from rtppool_core.process.early_stop import STOP_SIGNALS, exit_on_signals, stop_signals_blocked

GUARDED = "from rtppool_core.process.early_stop import exit_on_signals; exit_on_signals(); "
PARENT = GUARDED + (
    "import os, subprocess, sys, threading, time; "
    # One write each: the two writes of `print` may have another thread's in between.
    "start = lambda: os.write(1, b'%d\\n' % subprocess.Popen(['sleep', '60']).pid) and time.sleep(60); "
    "threading.Thread(target=start, daemon=True).start(); start()"
)


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_ends_the_process_with_code_0_and_without_a_word(number: signal.Signals) -> None:
    process = python(GUARDED + "print('guarded', flush=True); import time; time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline() == "guarded\n"
    process.send_signal(number)
    assert process.communicate(timeout=10) == ("", "")
    assert process.returncode == 0


def test_the_children_of_every_thread_end_with_it() -> None:
    process = python(PARENT)
    assert process.stdout is not None
    watches = [os.pidfd_open(int(process.stdout.readline())) for _ in range(2)]
    process.terminate()
    process.communicate(timeout=10)
    for watch in watches:
        assert select.select([watch], [], [], 10)[0], "a child outlived its parent"
        os.close(watch)


def test_a_child_that_was_started_with_blocked_signals_outlives_them() -> None:
    with stop_signals_blocked():
        child = python("import time; print('up', flush=True); time.sleep(1)")
    for number in STOP_SIGNALS:
        child.send_signal(number)
    assert child.communicate(timeout=20) == ("up\n", "")
    assert child.returncode == 0


def test_a_signal_that_came_while_they_were_blocked_is_handled_afterwards() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with stop_signals_blocked():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert seen == []
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_that_are_installed_later_take_its_place() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    try:
        exit_on_signals()
        seen: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        for number, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)
