"""The commands of the README exist, each with a recipe of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("help", "setup", "run", "test", "check", "scan", "e2e", "chaos", "bench", "up", "down", "lock", "clean")


def make(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 our own Makefile
        ["make", "--no-print-directory", *arguments],  # noqa: S607 whichever make there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_help_lists_every_command_once() -> None:
    assert [line.split()[1] for line in make("help").splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_declared_and_only_bench_runs_a_benchmark(command: str) -> None:
    recipe = make("--dry-run", command)
    assert ("lab.bench" in recipe) == (command == "bench")
