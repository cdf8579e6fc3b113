"""The tables of docs/security.md are those of the rendered chart: rights, Secrets, users and ports of the programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chart_values import TOKEN

PAGE = Path(__file__).resolve().parents[2] / "docs/security.md"
PREFIX = "rtp-"
WHERE = {"": "the cluster", "voice": "the release's namespace", "kube-system": "`kube-system`"}
SECRETS = {"tls-of-this-test": "TLS", "http-token": "HTTP token", "ari-of-this-test": "ARI"}
ALL_SECRETS = {"http.tlsSecret": "tls-of-this-test", "ari.existingSecret": "ari-of-this-test", TOKEN: "http-token"}


def rows(heading: str) -> list[list[str]]:
    _, _, below = PAGE.read_text().partition(f"\n## {heading}\n")
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(words: list[str]) -> str:
    return ", ".join(f"`{word}`" if word else "core" for word in words) or "-"


def rights(rendered: Any) -> list[list[str]]:
    """One row for each rule that a binding grants to an account."""
    found = []
    for binding in rendered:
        if binding["kind"] not in {"RoleBinding", "ClusterRoleBinding"}:
            continue
        role = rendered.find(binding["roleRef"]["kind"], binding["roleRef"]["name"])
        (subject,) = binding["subjects"]
        account, where = code([subject["name"].removeprefix(PREFIX)]), WHERE[binding["metadata"].get("namespace", "")]
        for rule in role["rules"]:
            named = code(rule.get("resourceNames", []))
            rule_words = [code(rule["apiGroups"]), code(rule["resources"]), named, ", ".join(rule["verbs"])]
            found.append([account, where, *rule_words])
    return found


def test_the_page_has_every_right_of_the_programs_and_no_other(defaults: Any) -> None:
    assert sorted(rows("Rights of the programs")) == sorted(rights(defaults))


def files(pod: dict[str, Any]) -> list[str]:
    secrets = [volume["secret"]["secretName"] for volume in pod["spec"].get("volumes", []) if "secret" in volume]
    return [meaning for name, meaning in SECRETS.items() if name in secrets]


def has_token(rendered: Any, pod: dict[str, Any]) -> bool:
    account = rendered.find("ServiceAccount", pod["spec"]["serviceAccountName"])
    answer = pod["spec"].get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    return bool(answer)


def test_the_page_has_network_token_and_secrets_of_every_pod(render: Any) -> None:
    rendered = render(ALL_SECRETS)
    assert sorted(rows("The programs")) == sorted(
        [
            code([name.removeprefix(PREFIX)]),
            "yes" if pod["spec"].get("hostNetwork") else "no",
            "yes" if has_token(rendered, pod) else "no",
            ", ".join(files(pod)) or "-",
        ]
        for name, pod in rendered.pods().items()
    )


@pytest.mark.parametrize("real_time", [False, True])
def test_the_programs_have_the_capabilities_and_the_user_of_the_page(render: Any, *, real_time: bool) -> None:
    for name, pod in render({"realTime": real_time}).pods().items():
        (container,) = pod["spec"]["containers"]
        raised = real_time and name in {"rtp-echo", "rtp-relay"}
        own = container["securityContext"]
        user = own.get("runAsUser", pod["spec"]["securityContext"]["runAsUser"])
        assert user == (0 if raised else 65532)
        assert own["capabilities"] == {"drop": ["ALL"], **({"add": ["SYS_NICE"]} if raised else {})}
        assert own["readOnlyRootFilesystem"]
        assert not own.get("privileged")
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_ports_of_the_page_are_the_pods(defaults: Any) -> None:
    ports = {cells[0].partition(" (")[0] for cells in rows("Network")}
    declared = {
        f"{port['protocol']} {port['containerPort']}"
        for pod in defaults.pods().values()
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }
    ends = {"UDP 10000", "UDP 10100"}
    assert ends <= declared
    calls = {f"UDP {number}" for number in range(10000, 10101)}
    assert {port for port in ports if port != "UDP 10000-10100"} == declared - calls
