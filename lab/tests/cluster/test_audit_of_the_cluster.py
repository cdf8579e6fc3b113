"""The audit log of the API server of a kind cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.base.audit_policy import audit_policy, service_accounts
from lab.cluster.host.machine import Machine
from lab.cluster.kind.audit import complete_lines
from lab.cluster.kind.kind_config import kind_config
from lab.cluster.kind.shape import MAIN

POLICY = Path("/cache/audit-policy.json")
MAX_DISK_MIB = 512


def config() -> dict[str, Any]:
    machine = Machine(is_root=True, has_apt=True, may_raise_limits=True, has_cgroup_v2=True)
    return dict(json.loads(kind_config(machine, MAIN, POLICY, made_node_image=False)))


def api_server() -> dict[str, Any]:
    (patch,) = map(json.loads, config()["kubeadmConfigPatches"])
    return dict(patch["apiServer"])


def test_the_policy_of_this_machine_reaches_the_api_server() -> None:
    (mount,) = config()["nodes"][0]["extraMounts"]
    volumes = {each["hostPath"]: each for each in api_server()["extraVolumes"]}
    assert mount["hostPath"] == str(POLICY)
    assert volumes[mount["containerPath"]]["readOnly"] is True
    assert api_server()["extraArgs"]["audit-policy-file"] == volumes[mount["containerPath"]]["mountPath"]


def test_the_log_is_in_a_folder_that_the_api_server_may_write() -> None:
    folder = str(Path(api_server()["extraArgs"]["audit-log-path"]).parent)
    (volume,) = (each for each in api_server()["extraVolumes"] if each["mountPath"] == folder)
    assert volume["readOnly"] is False


def test_the_log_can_not_fill_the_disk() -> None:
    arguments = api_server()["extraArgs"]
    files = 1 + int(arguments["audit-log-maxbackup"])
    assert int(arguments["audit-log-maxsize"]) * files <= MAX_DISK_MIB


def test_the_policy_logs_the_metadata_of_the_accounts_of_a_namespace_and_nothing_else() -> None:
    policy = json.loads(audit_policy(groups=[service_accounts("voice")]))
    assert policy["rules"] == [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:voice"]},
        {"level": "None"},
    ]


def test_a_line_that_is_still_written_is_left_out() -> None:
    assert complete_lines('{"a": 1}\n{"b": 2}\n{"c"') == ['{"a": 1}', '{"b": 2}']
    assert complete_lines('{"c"') == []
    assert complete_lines("") == []
