"""Values that the chart accepts: the programs start with them, and an API server takes every object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_objects import VERSIONS, errors, spec_schema_of
from strict_yaml import load_all

from rtppool_core.process.settings import SettingsError
from rtppool_echo.settings import read_settings as read_echo_settings
from rtppool_operator.pools.parsing import read_spec
from rtppool_operator.pools.rules import Refusal
from rtppool_operator.settings import read_settings as read_operator_settings
from rtppool_relay.settings import read_settings as read_relay_settings

ROOT = Path(__file__).resolve().parents[2]
NODES = {"an IPv4 node": "10.0.0.5", "an IPv6 node": "fd00::5"}
ARI = {"ari.existingSecret": "asterisk"}
EXISTS = [{"operator": "Exists"}]
MEDIA = {"media": "true"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "media", "operator": "In", "values": ["true"]}]}]
        }
    }
}
TIER = {"upToCalls": 9, "p50Microseconds": 5, "p95Microseconds": 5, "p99Microseconds": 5}
VOLUME = [{"name": "certificates", "configMap": {"name": "ca"}}]
MOUNT = [{"name": "certificates", "mountPath": "/etc/ssl/own", "readOnly": True}]
ALL = ("echo", "relay", "operator")

WORKING: dict[str, Mapping[str, Any]] = {
    "the defaults": {},
    "the example of echo.allow": {"echo.allow": ["10.0.0.0/8"]},
    "an echo of one network and an address": {"echo.allow": ["fd00::/8", "192.0.2.7"]},
    "a rate of exactly one call": {"echo.rate": 50},
    "no limits of rates": {"echo.rate": 0, "echo.ratePerAddress": 0},
    "the smallest limit of an address": {"echo.ratePerAddress": 5050},
    "a million answers a second": {"echo.rate": 1_000_000, "echo.ratePerAddress": 1_000_000},
    "every address of both families": {"echo.bindAddress": "::", "relay.bindAddress": "::", "relay.echo.host": "::1"},
    "the node's address alone": {"echo.bindAddress": "$(NODE_IP)", "relay.bindAddress": "$(NODE_IP)"},
    "loopback alone": {"echo.bindAddress": "127.0.0.1", "relay.bindAddress": "127.0.0.1"},
    "HTTP on all addresses": {"httpBindAddress": ["::"]},
    "an echo elsewhere": {"relay.echo.host": "echo.example.com", "relay.echo.port": 7},
    "an echo elsewhere, and relays where no echo is": {
        "relay.echo.host": "10.9.9.9",
        "relay.nodeSelector": MEDIA,
        "relay.tolerations": EXISTS,
    },
    "a fraction": {"relay.metricsIntervalSeconds": 0.5},
    "a fraction as --set gives it": {"relay.metricsIntervalSeconds": "0.5"},
    "ports of others by permission": {
        "allowPorts": [5060, "30000-30063", 9100],
        "portRange": {"start": 30000, "end": 30063},
        "echo.port": 5060,
        "relay.httpPort": 9100,
    },
    "one port": {"portRange": {"start": 20000, "end": 20000}},
    "the largest range": {"portRange": {"start": 20000, "end": 24095}},
    "nodes by label": {f"{of}.nodeSelector": MEDIA for of in ALL},
    "relays on fewer nodes than echoes": {"relay.nodeSelector": MEDIA},
    "control planes too": {f"{of}.tolerations": EXISTS for of in ALL},
    "one toleration of two": {
        "relay.tolerations": [{"key": "media", "operator": "Exists", "effect": "NoSchedule"}],
        "echo.tolerations": EXISTS,
    },
    "affinity": {f"{of}.affinity": AFFINITY for of in ALL},
    "Asterisk of the node": {**ARI, "ari.url": "http://$(NODE_IP):8088/ari"},
    "Asterisk by name with TLS": {**ARI, "ari.url": "https://pbx.example.com:8089/ari", "ari.caSecret": "ca"},
    "Asterisk at an IPv6 address": {**ARI, "ari.url": "http://[fd00::9]:8088/ari/"},
    "Asterisk with a prefix": {**ARI, "ari.url": "http://127.0.0.1:8088/asterisk/ari"},
    "credentials in values": {"ari.user": "asterisk", "ari.password": "s3cret: #'\"", "ari.userKey": "on"},
    "keys that YAML reads as other types": {
        **ARI,
        "ari.userKey": "0123",
        "ari.passwordKey": "true",
        "ari.url": "https://pbx:8089/ari",
        "ari.caSecret": "ca",
        "ari.caKey": "1",
    },
    "names that YAML reads as other types": {
        "httpToken.existingSecret": "123",
        "relay.priorityClassName": "1e3",
        "defaultPool.name": "123",
        "operator.poolNamespaces": ["123"],
        "commonLabels": {"cost": "0123", "owner": "true", "empty": ""},
    },
    "real time": {"realTime": True},
    "many media processes": {"relay.mediaWorkers": 8, "relay.resources.limits.memory": "1Gi"},
    "no resources": {f"{of}.resources": {"requests": {}, "limits": {}} for of in ALL},
    "quantities as numbers": {
        "relay.resources": {"requests": {"cpu": 0.5}, "limits": {"cpu": 2, "memory": 1073741824}}
    },
    "TLS": {"http.tlsSecret": "certificate", "http.serverName": "rtp.example.com"},
    "no token": {"httpToken.enabled": False},
    "digests": {f"{of}.image.digest": f"sha256:{'0' * 64}" for of in ALL},
    "additions": {
        **{f"{of}.extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}] for of in ALL},
        **{f"{of}.extraVolumes": VOLUME for of in ALL},
        **{f"{of}.extraVolumeMounts": MOUNT for of in ALL},
        **{f"{of}.podLabels": {"sidecar.istio.io/inject": "false"} for of in ALL},
        **{f"{of}.podAnnotations": {"prometheus.io/port": "9999", "note": "yes"} for of in ALL},
        **{f"{of}.serviceAccount": {"name": f"own-{of}", "annotations": {"cloud/role": "x"}} for of in ALL},
    },
    "accounts and roles of an administrator": {
        **{f"{of}.serviceAccount": {"create": False, "name": "made"} for of in ALL},
        "rbac.create": False,
    },
    "two operators": {
        "operator.replicas": 2,
        "operator.topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
    },
    "a dashboard": {
        "metrics.dashboard.enabled": True,
        "metrics.dashboard.annotations": {"grafana_folder": "Telephony"},
    },
    "network policies": {
        "operator.networkPolicy.enabled": True,
        "operator.networkPolicy.from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "rollouts by hand": {"relay.updateStrategy.type": "OnDelete", "echo.updateStrategy.maxUnavailable": 3},
    "trusted hosts": {
        "operator.allowedEchoHosts": ["127.0.0.1", "10.1.0.0/16", "fd00::/8", "echo.example.com"],
        "operator.allowedAdvertiseAddresses": ["192.0.2.0/24"],
    },
    "a trusted name in another spelling": {
        "operator.allowedEchoHosts": ["Echo.example.com."],
        "relay.echo.host": "echo.example.com",
    },
    "a pool of one's own": {
        "operator.allowedAdvertiseAddresses": ["192.0.2.0/24"],
        "defaultPool.spec": {
            "excludedPorts": [10050],
            "maxCalls": 50,
            "media": {"format": "alaw"},
            "advertise": {"source": "Static", "address": "192.0.2.9"},
            "nodeSelector": MEDIA,
            "sla": {"tiers": [TIER]},
            "probe": {"intervalSeconds": 5},
            "drain": {"timeoutSeconds": 60},
            "paused": True,
        },
    },
    "no pool": {"defaultPool.create": False},
}

# Accepted on purpose, although it may not work. Each has the place where a user reads it.
ON_PURPOSE: dict[str, tuple[Mapping[str, Any], str]] = {
    "a host name that may not exist": (
        {"relay.echo.host": "echo.invalid"},
        "Only relays resolve names: the condition EchoReachable says so.",
    ),
    "an echo address of the family that a node may lack": (
        {"relay.echo.host": "fd00::9"},
        "The chart does not know the nodes' families: EchoReachable says so.",
    ),
    "an address that no host has": (
        {"relay.echo.host": "240.0.0.1"},
        "The CRD takes every unicast address: EchoReachable says so.",
    ),
    "ephemeral ports": (
        {"portRange": {"start": 40000, "end": 40100}},
        "The kernel's range is a setting of each node: preflight reports the overlap.",
    ),
    "ports of an Asterisk": (
        {"portRange": {"start": 12000, "end": 12100}},
        "rtp.conf is Asterisk's: preflight reports the overlap, and docs/asterisk.md has the table of ports.",
    ),
    "9090": ({"relay.httpPort": 9090}, "Cockpit alone has it, on some distributions, and a bind that fails is logged."),
    "a Secret, a ConfigMap or a class that may not exist": (
        {**ARI, "relay.priorityClassName": "media", "httpToken.existingSecret": "mine"},
        "Only the cluster knows: the pod waits with the name in its events.",
    ),
    "a selector that no node may have": (
        {"relay.nodeSelector": {"no": "node"}},
        "Only the cluster knows: Ready is False with NoRelays.",
    ),
    "a password in clear over the network": (
        {**ARI, "ari.url": "http://pbx.example.com:8088/ari"},
        "A network may be trusted: the notes of the release say so.",
    ),
    "values of what is switched off": (
        {"operator.networkPolicy.from": [{"podSelector": {}}], "defaultPool.create": False},
        "They wait for their switch, and change nothing without it.",
    ),
    "more than 256 ports": (
        {"portRange": {"start": 20000, "end": 21000}},
        "A pod with a thousand hostPorts is unwieldy: the notes say that the scheduler sees the ends only.",
    ),
    "files without a group of their own": (
        {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
        "OpenShift sets user and group of its range: docs/security.md.",
    ),
    "a privileged container": (
        {"securityContext": {"allowPrivilegeEscalation": True, "privileged": True}},
        "The contexts are the user's to widen, where a node's hardening needs it.",
    ),
}
CASES = {**WORKING, **{name: values for name, (values, _) in ON_PURPOSE.items()}}


@pytest.mark.parametrize("name", CASES)
def test_accepted_values_make_programs_that_start_and_objects_that_the_api_server_takes(render: Any, name: str) -> None:
    rendered = render(CASES[name])
    for node in NODES.values():
        read_programs(rendered, node)
    refused = [error for o in rendered for version in ("1.31.0", "1.37.0") for error in errors(version, o)]
    assert refused == []
    assert_unique(rendered)


def read_programs(rendered: Any, node: str) -> None:
    """Read the environment of every program with its own reader of settings."""
    files = {
        "HTTP_TLS_DIR",
        "RELAY_CA_FILE",
        "HTTP_TOKEN_FILE",
        "RELAY_TOKEN_FILE",
        "ARI_CA_FILE",
        "ARI_USER_FILE",
        "ARI_PASS_FILE",
    }

    def on_node(kind: str, name: str) -> dict[str, str]:
        of_pod = {
            "status.hostIP": node,
            "spec.nodeName": "node-1",
            "metadata.name": "p-1",
            "metadata.namespace": "voice",
        }
        return {
            variable: value.replace("$(NODE_IP)", node)
            if isinstance(value, str)
            else of_pod[value["fieldRef"]["fieldPath"]]
            for variable, value in rendered.environment(kind, name).items()
            if variable not in files
        }

    relay = read_relay_settings(on_node("DaemonSet", "rtp-relay"))
    echo = read_echo_settings(on_node("DaemonSet", "rtp-echo"))
    operator = read_operator_settings(
        {**on_node("Deployment", "rtp-operator"), "CRD_FILE": str(ROOT / "charts/rtp-pool/files/rtppools.yaml")}
    )
    if operator.default_pool is not None:
        read = read_spec(operator.default_pool.spec, spec_schema_of(ROOT))
        assert not isinstance(read, Refusal), read
        assert operator.policy.echo_hosts.allows(operator.default_pool.spec["echo"]["host"])
    if relay.echo.host in {"127.0.0.1", "::1"}:
        assert relay.echo.port == echo.echo_port


def assert_unique(rendered: Any) -> None:
    """No variable, port, volume or mount twice, which a server-side apply refuses."""
    for name, pod in rendered.pods().items():
        volumes = [volume["name"] for volume in pod["spec"].get("volumes", [])]
        assert len(volumes) == len(set(volumes)), name
        for container in pod["spec"]["containers"]:
            for listed, key in (("env", "name"), ("ports", "name"), ("volumeMounts", "mountPath")):
                keys = [each[key] for each in container.get(listed, [])]
                assert len(keys) == len(set(keys)), (name, listed)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_supported_kubernetes_takes_the_objects_of_the_defaults(defaults: Any, version: str) -> None:
    assert [error for o in defaults for error in errors(version, o)] == []


def test_that_check_finds_a_misspelt_field() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "x", "securityContex": {}}]}}
    assert "securityContex" in json.dumps(errors("1.37.0", pod))


def test_that_reader_finds_a_wrong_setting() -> None:
    with pytest.raises(SettingsError):
        read_echo_settings({"ECHO_BIND": "999.1.1.1"})


def test_that_reading_finds_a_repeated_key() -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="a key stands twice"):
        list(load_all("a: {b: 1, c: 2, b: 3}"))
