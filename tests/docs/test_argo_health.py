"""The health script for Argo CD, run by a Lua of its version on conditions that the operator writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lupa.lua51
import pytest

from rtppool_operator.status.conditions import REASONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = (ROOT / "examples/argocd/health.lua").read_text()
PROGRESSING = {"Pending", "NoRelays", "RelayNotReady", "IncompatibleRelay", "RelaySilent", "NothingSent"}


def health(pool: dict[str, Any]) -> dict[str, str]:
    lua = lupa.lua51.LuaRuntime()
    lua.globals().obj = lua.table_from(pool, recursive=True)
    return dict(lua.execute(SCRIPT))


def pool(reason: str, status: str, observed: int = 4) -> dict[str, Any]:
    conditions = [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""},
        {"type": "Ready", "status": status, "reason": reason, "message": "worker-1"},
    ]
    return {"metadata": {"generation": 4}, "status": {"observedGeneration": observed, "conditions": conditions}}


@pytest.mark.parametrize(("reason", "status"), REASONS["Ready"].items())
def test_each_reason_of_ready_has_a_health(reason: str, status: str) -> None:
    wanted = (
        "Progressing" if reason in PROGRESSING else {"Ready": "Healthy", "Paused": "Suspended"}.get(reason, "Degraded")
    )
    assert health(pool(reason, status)) == {"status": wanted, "message": f"{reason}: worker-1"}


def test_a_status_of_an_older_generation_is_no_health() -> None:
    assert health(pool("Ready", "True", observed=3))["status"] == "Progressing"


@pytest.mark.parametrize("status", [None, {}, {"observedGeneration": 4}, {"observedGeneration": 4, "conditions": []}])
def test_a_pool_without_a_report_is_on_its_way(status: Any) -> None:
    document: dict[str, Any] = {"metadata": {"generation": 4}}
    if status is not None:
        document["status"] = status
    assert health(document)["status"] == "Progressing"
