"""The release's requests of the whole run, in the API server's audit log, compared with the roles of the chart.

conftest.py lets this module run last. Requests of the previous version's operators do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kube import NAMESPACE, RELEASE, Kube
from test_syncs_of_argo_cd import rendering
from test_the_readme_is_followed import RELEASE as RELEASE_OF_README

from lab.base.audit_log import accounts_of, missing, permissions_of, read_audit, requests_of, table, unused
from lab.cluster.kind.audit import read_audit_log
from lab.cluster.kind.guard import kind_cluster_of
from lab.cluster.tooling import make_tooling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PROGRAMS = ("operator", "crd-upgrade")
# Each right has its situation in these modules.
SITUATIONS = {"test_pools_through_changes_and_faults", "test_syncs_of_argo_cd"}


@pytest.fixture(scope="module")
def audit_log() -> list[str]:
    """Return the lines of the cluster's audit log, which that of `make up` has."""
    target = make_tooling().target
    cluster = kind_cluster_of(target)
    if not target.own or cluster is None:
        pytest.skip("not a cluster of make up, so it may have no audit log")
    return read_audit_log(cluster)


@pytest.fixture(scope="module")
def rendered(kube: Kube) -> list[Mapping[str, Any]]:
    """Return the objects of the chart, its hooks among them."""
    return [*rendering(kube)]


def account(release: str, program: str) -> str:
    return f"{NAMESPACE}/{release}-{program}"


def accounts(*programs: str) -> set[str]:
    return {account(release, program) for release in (RELEASE, RELEASE_OF_README) for program in programs}


def requests(kube: Kube, audit_log: list[str], program: str) -> list[str]:
    run = kube.audited
    return requests_of(audit_log, accounts(program), run.since_unix_seconds, run.previous_pods)


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_request_was_denied_but_those_that_a_role_grants(
    kube: Kube, audit_log: list[str], rendered: list[Mapping[str, Any]], program: str
) -> None:
    """An uninstall takes roles away while the operator still runs, so granted requests are denied as well."""
    audit = read_audit(requests(kube, audit_log, program))
    print("\n".join(table(audit)))
    assert missing(permissions_of(rendered, account(RELEASE, program)), audit) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_right_was_used(
    request: pytest.FixtureRequest, kube: Kube, audit_log: list[str], rendered: list[Mapping[str, Any]], program: str
) -> None:
    if not_run := SITUATIONS - {item.path.stem for item in request.session.items}:
        pytest.skip(f"rights of these modules are unused, which do not run: {', '.join(sorted(not_run))}")
    permissions = permissions_of(rendered, account(RELEASE, program))
    assert permissions
    assert unused(permissions, read_audit(requests(kube, audit_log, program))) == []


def test_no_other_program_of_the_release_uses_the_api_server(kube: Kube, audit_log: list[str]) -> None:
    assert accounts_of(audit_log, kube.audited.since_unix_seconds) <= accounts(*PROGRAMS)
