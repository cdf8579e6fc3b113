"""The operator's environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtppool_core.net.listeners import any_address
from rtppool_core.process.settings import SettingsError
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.settings import Settings, read_settings

CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/files/rtppools.yaml"


def test_settings_without_a_namespace_or_a_definition_are_refused_together() -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"CRD_FILE": "/nowhere.yaml", "HTTP_PORT": "0"})
    problems = refused.value.problems
    assert len(problems) == 3
    assert any(problem.startswith("POD_NAMESPACE=") for problem in problems)
    assert any(problem.startswith("CRD_FILE=/nowhere.yaml") for problem in problems)


def test_settings_have_defaults() -> None:
    settings = read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD)})
    assert (settings.http_port, settings.relay_token) == (9092, None)
    assert settings.policy == TrustPolicy("voice"), "pools of the release's namespace alone, with any echo and address"
    assert settings.relay_selector == "app.kubernetes.io/name=rtp-pool,app.kubernetes.io/component=relay"


def read(**variables: str) -> Settings:
    return read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD), **variables})


def test_the_trust_between_namespaces_is_read() -> None:
    policy = read(
        POOL_NAMESPACES="contact-centre, lab",
        FOREIGN_POOLS_MAY_TAKE_NODES="true",
        ALLOWED_ECHO_HOSTS="127.0.0.1,10.1.0.0/16,Echo.Example.com.",
        ALLOWED_ADVERTISE_ADDRESSES="192.0.2.0/24",
    ).policy
    assert policy.pool_namespaces == {"contact-centre", "lab"}
    assert policy.foreign_pools_may_take_nodes
    assert str(policy.echo_hosts) == "127.0.0.1/32, 10.1.0.0/16, echo.example.com"
    assert str(policy.advertised) == "192.0.2.0/24"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_POOL", "{"),
        ("DEFAULT_POOL", '{"name": "default", "managed": "yes", "spec": {}}'),
        ("CRD_INSTALL", "perhaps"),
        ("POOL_NAMESPACES", "*"),
        ("POOL_NAMESPACES", "voice,Upper"),
        ("FOREIGN_POOLS_MAY_TAKE_NODES", "perhaps"),
        ("ALLOWED_ECHO_HOSTS", "10.0.0.1/8"),
        ("ALLOWED_ECHO_HOSTS", "127.1"),
        ("ALLOWED_ECHO_HOSTS", "a..b"),
        ("ALLOWED_ECHO_HOSTS", "*.example.com"),
        ("ALLOWED_ADVERTISE_ADDRESSES", "example.com"),
        ("RELAY_SELECTOR", "component"),
        ("RELAY_SELECTOR", "component=relay,,"),
        ("RELAY_SELECTOR", "component!=relay"),
        ("RELAY_SELECTOR", "component="),
    ],
)
def test_a_setting_of_trust_that_is_unclear_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}={re.escape(value)}: accepted"):
        read(**{name: value})


def test_http_listens_for_both_families_by_default_and_on_the_address_that_is_set() -> None:
    assert read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD)}).http_bind == (any_address(),)
    assert read_settings({"POD_NAMESPACE": "voice", "CRD_FILE": str(CRD), "HTTP_BIND": "0.0.0.0"}).http_bind == (
        "0.0.0.0",
    )
