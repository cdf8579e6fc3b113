"""The commands of the README exist, each with a recipe of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    *(
        "help",
        "setup",
        "run",
        "test",
        "browser",
        "check",
        "scan",
        "e2e",
        "chaos",
        "bench",
        "up",
        "down",
        "release",
        "lock",
    ),
    "clean",
)


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


E2E = ("tests/e2e", "lab/tests/faults/on_api_server", "--e2e", "--api-server")
# Tests of the longer run whose shorter form is another test.
API_SERVER_TAKES = "test_the_api_server_takes_every_object_of_the_accepted_values"
UPGRADED = "test_a_release_is_upgraded_under_a_call_rolled_back_changed_and_uninstalled"
SHORT_FORMS = {
    "test_a_call_goes_on_through_twenty_restarts_of_the_relays": (
        "test_a_call_goes_on_through_a_restart_of_the_relays_and_its_gap_is_reported"
    ),
    "test_the_previous_version_is_upgraded_rolled_back_and_uninstalled_and_its_pool_stays": UPGRADED,
    "test_an_uninstall_leaves_the_objects_of_the_page_and_no_others": UPGRADED,
    "test_kubectl_applies_a_rendering_and_a_later_one_with_other_values": (
        "test_a_first_sync_makes_the_pool_and_a_later_one_changes_it_and_keeps_its_uid"
    ),
    "test_both_are_ready_one_leads_and_one_may_be_evicted": API_SERVER_TAKES,
    "test_a_rollout_always_has_two_ready_operators_and_an_edit_meanwhile_comes_through": (
        "test_an_operator_that_waits_takes_over_at_once_when_the_other_ends_in_order"
    ),
    "test_the_other_operator_follows_a_killed_leader": (
        "test_a_pod_that_replaces_a_killed_one_takes_over_when_its_lease_has_run_out"
    ),
    "test_the_policies_allow_each_connection_of_the_operator": API_SERVER_TAKES,
    "test_a_stranger_reaches_the_operator_only_where_no_policy_is_enforced": API_SERVER_TAKES,
}


def collected(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", *E2E, *arguments, "--collect-only", "--quiet", "-p", "no:cacheprovider"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 our own tests
    return [line for line in answer.stdout.splitlines() if "::" in line]


def functions(tests: list[str]) -> set[str]:
    return {test.partition("[")[0].rpartition("::")[2] for test in tests}


def test_the_longer_run_of_e2e_is_named_and_both_its_parts_get_it() -> None:
    assert make("--dry-run", "e2e", "E2E=--full").count(" --full") == 2
    assert "--full" not in make("--dry-run", "e2e")


@pytest.mark.timeout(240)
def test_each_test_of_the_longer_run_has_a_shorter_form_in_make_e2e() -> None:
    short, longer = collected(), collected("--full")
    assert set(short) < set(longer)
    without = functions(longer) - functions(short)
    assert without == set(SHORT_FORMS)
    assert set(SHORT_FORMS.values()) <= functions(short)
