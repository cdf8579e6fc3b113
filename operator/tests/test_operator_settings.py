"""The operator's environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtppool_core.process.settings import SettingsError
from rtppool_operator.settings import read_settings

CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/crds/rtppools.yaml"


def test_settings_without_a_namespace_or_a_definition_are_refused_together() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"CRD_FILE": "/nowhere.yaml", "HTTP_PORT": "0"})
    problems = refused.value.problems
    assert len(problems) == 3
    assert any(problem.startswith("POD_NAMESPACE=") for problem in problems)
    assert any(problem.startswith("CRD_FILE=/nowhere.yaml") for problem in problems)


def test_settings_have_defaults() -> None:
    settings = read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD)})
    assert (settings.http_port, settings.relay_token_file) == (9092, None)
