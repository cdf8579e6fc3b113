"""The objects of a default installation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from chart_values import BASE, set_values
from kubernetes_objects import errors
from strict_yaml import load_all

from rtppool_core.contract import pools_file as pool_config
from rtppool_core.contract.codec import from_json
from rtppool_core.contract.port_range import PortRange
from rtppool_echo.settings import read_settings as read_echo_settings
from rtppool_operator.pools.default_pool import DefaultPool
from rtppool_operator.pools.trust import TrustPolicy
from rtppool_operator.settings import Settings as OperatorSettings
from rtppool_operator.settings import read_settings as read_operator_settings
from rtppool_relay.settings import read_settings as read_relay_settings

CRD = Path(__file__).resolve().parents[2] / "charts/rtp-pool/files/rtppools.yaml"
EVERYTHING = {
    "ari.user": "asterisk",
    "ari.password": "s3cret",
    "imagePullSecrets": [{"name": "registry"}],
    **{f"{of}.nodeSelector": {"media": "true"} for of in ("echo", "relay", "operator")},
    **{f"{of}.tolerations": [{"key": "media", "operator": "Exists"}] for of in ("echo", "relay", "operator")},
    **{f"{of}.affinity": {"nodeAffinity": {}} for of in ("echo", "relay", "operator")},
    **{f"{of}.priorityClassName": "media" for of in ("echo", "relay", "operator")},
    **{f"{of}.podAnnotations": {"note": "yes"} for of in ("echo", "relay", "operator")},
    "relay.echo.extension": True,
    "echo.dscp": 0,
    "echo.allow": ["10.0.0.0/8"],
    "echo.rate": 0,
    "echo.ratePerAddress": 1000000,
    "echo.rtpOnly": False,
    "httpToken.enabled": False,
    "operator.poolNamespaces": ["contact-centre", "lab"],
    "operator.foreignPoolsMayTakeNodes": True,
    "operator.allowedEchoHosts": ["127.0.0.1", "10.1.0.0/16", "fd00::/8", "echo.example.com"],
    "operator.allowedAdvertiseAddresses": ["192.0.2.0/24"],
    "operator.networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"name": "metrics"}}}]},
    "defaultPool.spec": {"maxCalls": 50, "drain": {"timeoutSeconds": 60}, "excludedPorts": [10050]},
}
NOTHING = {
    **{f"{of}.resources": {} for of in ("echo", "relay", "operator")},
    "defaultPool.create": False,
    "metrics.scrapeAnnotations": False,
}
VARIANTS = pytest.mark.parametrize("values", [{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])


def test_a_default_release_consists_of_these_objects(defaults: Any) -> None:
    assert defaults.names() == {
        ("CustomResourceDefinition", "rtppools.rtppool.dev"),
        ("ServiceAccount", "rtp-echo"),
        ("ServiceAccount", "rtp-relay"),
        ("ServiceAccount", "rtp-operator"),
        ("DaemonSet", "rtp-echo"),
        ("DaemonSet", "rtp-relay"),
        ("Deployment", "rtp-operator"),
        ("PodDisruptionBudget", "rtp-operator"),
        ("ClusterRole", "voice-rtp-operator"),
        ("ClusterRoleBinding", "voice-rtp-operator"),
        ("Role", "rtp-operator"),
        ("RoleBinding", "rtp-operator"),
        ("Role", "voice-rtp-operator"),
        ("RoleBinding", "voice-rtp-operator"),
        ("Pod", "rtp-test"),
        ("ClusterRole", "voice-rtp-pools-view"),
        ("ClusterRole", "voice-rtp-pools-edit"),
        ("ServiceAccount", "rtp-crd-upgrade"),
        ("ClusterRole", "voice-rtp-crd-upgrade"),
        ("ClusterRoleBinding", "voice-rtp-crd-upgrade"),
        ("Job", "rtp-crd-upgrade"),
    }


@VARIANTS
def test_every_pod_is_as_unprivileged_as_can_be(render: Any, values: dict[str, Any]) -> None:
    pods = render(values).pods()
    assert set(pods) == {"rtp-echo", "rtp-relay", "rtp-operator", "rtp-test", "rtp-crd-upgrade"}
    for pod in pods.values():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == context["runAsGroup"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        for key in ("hostPID", "hostIPC", "shareProcessNamespace"):
            assert key not in pod["spec"]


def test_real_time_priority_costs_echo_and_relay_one_capability_and_no_other_pod_any(render: Any) -> None:
    pods = render({"realTime": True}).pods()
    contexts = {name: pod["spec"]["containers"][0]["securityContext"] for name, pod in pods.items()}
    for name in ("rtp-echo", "rtp-relay"):
        assert contexts.pop(name) == {
            "runAsNonRoot": False,
            "runAsUser": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["SYS_NICE"]},
        }
    assert all(context["capabilities"] == {"drop": ["ALL"]} for context in contexts.values())


@pytest.mark.parametrize(
    ("real_time", "told"),
    [
        (True, {"MEDIA_SCHEDULING": "realtime", "ECHO_SCHEDULING": "auto"}),
        (False, {"MEDIA_SCHEDULING": "fair", "ECHO_SCHEDULING": "fair"}),
    ],
)
def test_packet_processes_ask_for_real_time_priority_only_if_they_are_to(
    render: Any, real_time: bool, told: dict[str, str]
) -> None:
    pods = render({"realTime": real_time}).pods()
    variables = {
        variable["name"]: variable.get("value")
        for name in ("rtp-echo", "rtp-relay")
        for variable in pods[name]["spec"]["containers"][0]["env"]
    }
    assert {name: variables[name] for name in told} == told


def test_only_programs_of_the_operator_hold_an_api_token(defaults: Any) -> None:
    holders = {
        name for name, pod in defaults.pods().items() if pod["spec"].get("automountServiceAccountToken", True) is True
    }
    assert holders == {"rtp-operator", "rtp-crd-upgrade", "rtp-test"}
    for component in ("echo", "relay"):
        assert defaults.find("ServiceAccount", f"rtp-{component}")["automountServiceAccountToken"] is False
    bound = {
        s["name"]
        for o in defaults
        if o["kind"].endswith("RoleBinding") or o["kind"] == "RoleBinding"
        for s in o["subjects"]
    }
    assert bound == {defaults.pods()[name]["spec"]["serviceAccountName"] for name in holders}


def test_media_pods_are_on_the_nodes_network_and_can_still_resolve_cluster_names(defaults: Any) -> None:
    for name in ("rtp-echo", "rtp-relay"):
        spec = defaults.pod("DaemonSet", name)["spec"]
        assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert "hostNetwork" not in defaults.pod("Deployment", "rtp-operator")["spec"]


def test_a_rollout_replaces_before_it_adds(defaults: Any) -> None:
    for name in ("rtp-echo", "rtp-relay"):
        strategy = defaults.find("DaemonSet", name)["spec"]["updateStrategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}
    operator = defaults.find("Deployment", "rtp-operator")["spec"]
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert (operator["replicas"], operator["strategy"]) == (2, surge)


@pytest.mark.parametrize(
    ("start", "end", "declared"),
    [
        (10000, 10100, list(range(10000, 10101))),
        (20000, 20000, [20000]),
        (20000, 20255, list(range(20000, 20256))),
        (20000, 20256, [20000, 20256]),
    ],
)
def test_the_relay_declares_its_whole_range_or_the_ends_of_a_large_one(
    render: Any, start: int, end: int, declared: list[int]
) -> None:
    ports = render({"portRange": {"start": start, "end": end}}).container("DaemonSet", "rtp-relay")["ports"]
    udp = [port for port in ports if port["protocol"] == "UDP"]
    assert [port["containerPort"] for port in udp] == declared
    assert all(port["hostPort"] == port["containerPort"] and len(port["name"]) <= 15 for port in ports)
    assert len({port["name"] for port in ports}) == len(ports)
    assert {"name": "http", "protocol": "TCP", "containerPort": 9090, "hostPort": 9090} in ports


def test_the_echo_declares_its_ports(defaults: Any) -> None:
    assert defaults.container("DaemonSet", "rtp-echo")["ports"] == [
        {"name": "rtp", "protocol": "UDP", "containerPort": 4000, "hostPort": 4000},
        {"name": "http", "protocol": "TCP", "containerPort": 9091, "hostPort": 9091},
    ]


@pytest.mark.parametrize("name", ["rtp-echo", "rtp-relay"])
def test_probes_ask_the_paths_that_need_no_token(defaults: Any, name: str) -> None:
    container = defaults.container("DaemonSet", name)
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["startupProbe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}


def plain(environment: dict[str, Any], node: str = "10.0.0.5") -> dict[str, str]:
    """Return the environment on a node. Kubernetes replaces a reference to another variable by plain text."""
    of_pod = {"status.hostIP": node, "spec.nodeName": "node-1", "metadata.name": "pod-1", "metadata.namespace": "voice"}
    return {
        name: value.replace("$(NODE_IP)", node) if isinstance(value, str) else of_pod[value["fieldRef"]["fieldPath"]]
        for name, value in environment.items()
    }


# Added by the chart, so that the relay of the same node is always answered.
NODES_OWN = ("127.0.0.0/8", "::1/128", "10.0.0.5/32")


def test_the_echo_understands_its_environment(render: Any, defaults: Any) -> None:
    settings = read_echo_settings(plain(defaults.environment("DaemonSet", "rtp-echo")))
    assert (settings.echo_port, settings.http_port, settings.dscp, settings.allow) == (4000, 9091, None, ())
    assert (settings.rate, settings.rate_per_address, settings.rtp_only) == (200, 0, True)
    settings = read_echo_settings(plain(render(EVERYTHING).environment("DaemonSet", "rtp-echo")))
    assert (settings.dscp, list(map(str, settings.allow))) == (0, ["10.0.0.0/8", *NODES_OWN])
    assert (settings.rate, settings.rate_per_address, settings.rtp_only) == (0, 1_000_000, False)


def test_the_relay_understands_its_environment(defaults: Any) -> None:
    environment = defaults.environment("DaemonSet", "rtp-relay")
    assert environment["NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert environment["NODE_IP"] == {"fieldRef": {"fieldPath": "status.hostIP"}}
    settings = read_relay_settings(plain(environment))
    assert settings.port_range == PortRange(10000, 10100)
    assert settings.echo == pool_config.EchoTarget("127.0.0.1", 4000)
    assert (settings.http_port, settings.dscp, settings.media_workers) == (9090, 46, 0)


def test_a_number_of_media_processes_reaches_the_relay(render: Any) -> None:
    environment = render({"relay.mediaWorkers": 3}).environment("DaemonSet", "rtp-relay")
    assert read_relay_settings(plain(environment)).media_workers == 3


@pytest.mark.parametrize("component", ["echo", "relay"])
def test_no_variable_is_set_that_its_program_does_not_read(render: Any, component: str) -> None:
    package = "echo/src/rtppool_echo" if component == "echo" else "ari/src/rtppool_relay"
    read = (Path(__file__).resolve().parents[2] / "services" / package / "settings.py").read_text()
    for values in ({}, EVERYTHING):
        for name in render(values).environment("DaemonSet", f"rtp-{component}"):
            assert f'"{name.removesuffix("_FILE") if name != "HTTP_TOKEN_FILE" else name}"' in read, name


def test_the_relay_gets_the_grace_period_less_the_time_to_hang_up(render: Any) -> None:
    rendered = render({"relay.terminationGracePeriodSeconds": 100})
    assert rendered.pod("DaemonSet", "rtp-relay")["spec"]["terminationGracePeriodSeconds"] == 100
    assert rendered.environment("DaemonSet", "rtp-relay")["DRAIN_GRACE_SEC"] == "85"


def test_the_pools_file_is_a_directory_that_may_be_missing(defaults: Any) -> None:
    spec = defaults.pod("DaemonSet", "rtp-relay")["spec"]
    assert {"name": "pools", "configMap": {"name": pool_config.CONFIG_MAP_NAME, "optional": True}} in spec["volumes"]
    mount = {"name": "pools", "mountPath": pool_config.MOUNT_PATH, "readOnly": True}
    assert mount in spec["containers"][0]["volumeMounts"]
    assert all(o["kind"] != "ConfigMap" for o in defaults), "the operator makes it at run time"


def test_relay_and_operator_have_the_same_token(defaults: Any) -> None:
    for kind, name, variable in (
        ("DaemonSet", "rtp-relay", "HTTP_TOKEN_FILE"),
        ("Deployment", "rtp-operator", "RELAY_TOKEN_FILE"),
    ):
        path = Path(defaults.environment(kind, name)[variable])
        spec = defaults.pod(kind, name)["spec"]
        volume = next(v for v in spec["volumes"] if v["name"] == "http-token")
        mount = next(m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "http-token")
        assert volume["secret"]["secretName"] == "http-token"
        assert mount["readOnly"] is True
        assert path == Path(mount["mountPath"]) / volume["secret"]["items"][0]["path"]


def test_an_own_token_secret_is_used_instead(render: Any) -> None:
    rendered = render({"httpToken.existingSecret": "mine"})
    assert not any(o["kind"] == "Secret" for o in rendered)
    for kind, name in (("DaemonSet", "rtp-relay"), ("Deployment", "rtp-operator")):
        volumes = rendered.pod(kind, name)["spec"]["volumes"]
        assert [v["secret"]["secretName"] for v in volumes if v["name"] == "http-token"] == ["mine"]


def test_without_a_token_nothing_mounts_one(render: Any) -> None:
    text = json.dumps(render({"httpToken.enabled": False}).objects)
    assert "http-token" not in text
    assert "TOKEN_FILE" not in text


def test_without_credentials_the_relay_has_no_ari_setting_and_no_secret(defaults: Any) -> None:
    environment = defaults.environment("DaemonSet", "rtp-relay")
    assert not [name for name in environment if name.startswith("ARI_")]
    assert [o["metadata"]["name"] for o in defaults if o["kind"] == "Secret"] == []


def test_credentials_of_the_values_go_into_a_secret_and_nowhere_else(render: Any) -> None:
    rendered = render({"ari.user": "asterisk", "ari.password": "s3cret"})
    assert rendered.find("Secret", "rtp-ari")["data"] == {"username": "YXN0ZXJpc2s=", "password": "czNjcmV0"}
    others = [o for o in rendered if o["kind"] != "Secret"]
    assert "s3cret" not in json.dumps(others)
    check_ari(rendered, "rtp-ari")


def test_an_own_secret_with_credentials_is_used(render: Any) -> None:
    rendered = render({"ari.existingSecret": "pbx", "ari.userKey": "login", "ari.passwordKey": "pin"})
    assert ("Secret", "rtp-ari") not in rendered.names()
    check_ari(rendered, "pbx")
    volumes = rendered.pod("DaemonSet", "rtp-relay")["spec"]["volumes"]
    (ari,) = [v["secret"] for v in volumes if v["name"] == "ari"]
    assert ari["items"] == [{"key": "login", "path": "user"}, {"key": "pin", "path": "password"}]


def check_ari(rendered: Any, secret: str) -> None:
    environment = rendered.environment("DaemonSet", "rtp-relay")
    assert environment["ARI_USER_FILE"] == "/var/run/secrets/rtp-pool/ari/user"
    assert "ARI_USER" not in environment
    assert environment["ARI_PASS_FILE"] == "/var/run/secrets/rtp-pool/ari/password"
    assert environment["ARI_URL"] == "http://127.0.0.1:8088/ari"
    assert environment["APP_NAME"] == "rtp-pool"
    assert "ARI_PASS" not in environment
    volumes = rendered.pod("DaemonSet", "rtp-relay")["spec"]["volumes"]
    assert [v["secret"]["secretName"] for v in volumes if v["name"] == "ari"] == [secret]


@pytest.mark.parametrize(("key", "kind"), [("ari.caSecret", "secret"), ("ari.caConfigMap", "configMap")])
def test_an_authority_of_one_s_own_is_mounted_as_a_file(render: Any, key: str, kind: str) -> None:
    values = {"ari.existingSecret": "pbx", "ari.url": "https://pbx:8089/ari", key: "authority", "ari.caKey": "root.pem"}
    rendered = render(values)
    path = rendered.environment("DaemonSet", "rtp-relay")["ARI_CA_FILE"]
    (mount,) = [m for m in rendered.container("DaemonSet", "rtp-relay")["volumeMounts"] if m["name"] == "ari-ca"]
    (volume,) = [v[kind] for v in rendered.pod("DaemonSet", "rtp-relay")["spec"]["volumes"] if v["name"] == "ari-ca"]
    assert path == f"{mount['mountPath']}/ca.crt"
    assert mount["readOnly"]
    assert volume["items"] == [{"key": "root.pem", "path": "ca.crt"}]
    assert "authority" in {volume.get("secretName"), volume.get("name")}


def test_without_an_authority_of_one_s_own_none_is_mounted(render: Any) -> None:
    rendered = render({"ari.existingSecret": "pbx", "ari.url": "https://pbx:8089/ari"})
    assert "ARI_CA_FILE" not in rendered.environment("DaemonSet", "rtp-relay")
    assert "ari-ca" not in json.dumps(rendered.objects)


@pytest.mark.parametrize(("asked", "setting"), [(False, "false"), (True, "true")])
def test_relays_have_one_application_or_one_for_each_node(render: Any, asked: bool, setting: str) -> None:
    rendered = render({"ari.existingSecret": "pbx", "ari.applicationPerNode": asked})
    environment = rendered.environment("DaemonSet", "rtp-relay")
    assert (environment["APP_NAME"], environment["APP_PER_NODE"]) == ("rtp-pool", setting)


@pytest.mark.parametrize(("on_stop", "setting"), [("Drain", "drain"), ("HandOver", "handover")])
def test_what_a_relay_does_when_it_is_stopped_changes_nothing_of_its_time(
    render: Any, defaults: Any, on_stop: str, setting: str
) -> None:
    rendered = render({"relay.onStop": on_stop})
    assert rendered.environment("DaemonSet", "rtp-relay")["ON_STOP"] == setting
    grace = "terminationGracePeriodSeconds"
    assert (
        rendered.pod("DaemonSet", "rtp-relay")["spec"][grace] == defaults.pod("DaemonSet", "rtp-relay")["spec"][grace]
    )


def test_the_next_relay_starts_beside_one_that_hands_its_calls_over(render: Any) -> None:
    rendered = render({"relay.onStop": "HandOver", "relay.httpPort": 9190})
    strategy = rendered.find("DaemonSet", "rtp-relay")["spec"]["updateStrategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}
    # Two pods that declare the same ports never run on one node.
    container = rendered.container("DaemonSet", "rtp-relay")
    assert "ports" not in container
    probes = [container[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")]
    assert probes == [9190] * 3
    assert rendered.pod("DaemonSet", "rtp-relay")["metadata"]["annotations"]["rtppool.dev/http-port"] == "9190"


def test_a_relay_that_is_only_replaced_by_hand_declares_its_ports(render: Any) -> None:
    rendered = render({"relay.onStop": "HandOver", "relay.updateStrategy.type": "OnDelete"})
    assert rendered.find("DaemonSet", "rtp-relay")["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert rendered.container("DaemonSet", "rtp-relay")["ports"][0]["name"] == "http"


@pytest.mark.parametrize("on_stop", ["Drain", "HandOver"])
def test_all_relays_of_a_release_share_one_turn_on_a_node(render: Any, on_stop: str) -> None:
    rendered = render({"relay.onStop": on_stop, "portRange": {"start": 20000, "end": 20100}})
    assert rendered.environment("DaemonSet", "rtp-relay")["NODE_TURN"] == "rtp-pool/voice/rtp"


def test_callers_numbers_are_masked_without_a_secret(defaults: Any) -> None:
    environment = defaults.environment("DaemonSet", "rtp-relay")
    assert environment["CALLER_NUMBERS"] == "masked"
    assert "CALLER_HASH_KEY_FILE" not in environment
    assert "caller-hash" not in json.dumps(defaults.pod("DaemonSet", "rtp-relay"))


def test_the_key_of_callers_hashes_is_a_file_of_its_secret(render: Any) -> None:
    rendered = render({"relay.callerNumbers.form": "Hashed", "relay.callerNumbers.hashKeySecret": "hash"})
    environment = rendered.environment("DaemonSet", "rtp-relay")
    assert environment["CALLER_NUMBERS"] == "hashed"
    spec = rendered.pod("DaemonSet", "rtp-relay")["spec"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "caller-hash")
    assert volume["secret"]["secretName"] == "hash"
    (mount,) = (each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "caller-hash")
    path = volume["secret"]["items"][0]["path"]
    assert environment["CALLER_HASH_KEY_FILE"] == f"{mount['mountPath']}/{path}"


def test_changed_credentials_change_the_secret_and_no_other_object(render: Any) -> None:
    def others(user: str, password: str) -> list[dict[str, Any]]:
        rendered = render({"ari.user": user, "ari.password": password, "httpToken.existingSecret": "mine"})
        assert set(rendered.find("Secret", "rtp-ari")["data"]) == {"username", "password"}
        return [o for o in rendered if o["kind"] != "Secret"]

    assert others("asterisk", "one") == others("relay", "two"), "no hash of a secret is outside of it"


@pytest.mark.parametrize("values", [{}, {"ari.user": "asterisk", "ari.password": "s3cret"}])
def test_every_secret_is_mounted_as_a_volume_that_follows_its_rotation(render: Any, values: dict[str, Any]) -> None:
    for name, pod in render(values).pods().items():
        for container in pod["spec"]["containers"]:
            assert not [mount for mount in container.get("volumeMounts", []) if "subPath" in mount], name
            assert "secretKeyRef" not in json.dumps(container), name


DIGEST = "sha256:" + "0" * 64
OWN_REPOSITORIES = {f"{of}.image.repository": f"ghcr.io/mine/{of}" for of in ("echo", "relay", "operator")}


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "registry.example.com/rtp-pool/echo:0.1.0"),
        ({"image.tag": "dev"}, "registry.example.com/rtp-pool/echo:dev"),
        ({"image.tag": "dev", "echo.image.tag": "own"}, "registry.example.com/rtp-pool/echo:own"),
        ({"image.tag": "1", "echo.image.digest": DIGEST}, f"registry.example.com/rtp-pool/echo@{DIGEST}"),
        ({"image.registry": "localhost:5000/voice/"}, "localhost:5000/voice/rtp-pool/echo:0.1.0"),
        ({"global.imageRegistry": "mirror.example.com"}, "mirror.example.com/rtp-pool/echo:0.1.0"),
        ({"image.registry": "", "image.pullPolicy": "Never"}, "rtp-pool/echo:0.1.0"),
        ({"image.registry": "", **OWN_REPOSITORIES, "image.tag": "1"}, "ghcr.io/mine/echo:1"),
        ({"image.tag": "0.1.0+git.abc123"}, "registry.example.com/rtp-pool/echo:0.1.0_git.abc123"),
    ],
)
def test_images_can_be_taken_from_elsewhere(render: Any, values: dict[str, Any], image: str) -> None:
    rendered = render(values)
    assert rendered.container("DaemonSet", "rtp-echo")["image"] == image
    assert rendered.container("Pod", "rtp-test")["image"] == rendered.container("Deployment", "rtp-operator")["image"]


def test_a_version_with_build_metadata_makes_labels_that_kubernetes_accepts(
    helm: Callable[..., Any], chart: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "chart"
    shutil.copytree(chart, copy)
    text = (copy / "Chart.yaml").read_text()
    (copy / "Chart.yaml").write_text(text.replace("ersion: 0.1.0", "ersion: 0.1.0+git.abc123"))
    done = helm("template", "rtp", copy, *set_values(BASE))
    assert done.returncode == 0, done.stderr
    objects = [document for document in yaml.safe_load_all(done.stdout) if document]
    labels = {value for o in objects for value in o["metadata"]["labels"].values()}
    assert {"0.1.0_git.abc123", "rtp-pool-0.1.0_git.abc123"} <= labels
    assert not [label for label in labels if "+" in label]
    (echo,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("DaemonSet", "rtp-echo")]
    image = echo["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.example.com/rtp-pool/echo:0.1.0_git.abc123"


def test_names_of_digits_stay_texts(helm: Callable[..., Any], chart: Path) -> None:
    done = helm("template", "123", chart, "--namespace", "1e3", *set_values(BASE))
    assert done.returncode == 0, done.stderr
    for o in (document for document in load_all(done.stdout) if document):
        assert errors("1.37.0", o) == []
        texts = [o["metadata"].get("namespace", ""), *o["metadata"]["labels"].values()]
        assert all(isinstance(text, str) for text in texts), o["metadata"]


@VARIANTS
def test_the_operator_s_selector_has_this_release_s_relays_and_no_other_pod(
    render: Any, values: dict[str, Any]
) -> None:
    rendered = render(values)
    settings = operator_settings(rendered)
    wanted = dict(pair.split("=") for pair in settings.relay_selector.split(",")).items()
    assert wanted == {
        ("app.kubernetes.io/name", "rtp-pool"),
        ("app.kubernetes.io/instance", "rtp"),
        ("app.kubernetes.io/component", "relay"),
    }
    found = [name for name, pod in rendered.pods().items() if wanted <= pod["metadata"]["labels"].items()]
    assert found == ["rtp-relay"]


def operator_settings(rendered: Any) -> OperatorSettings:
    variables = plain(rendered.environment("Deployment", "rtp-operator"))
    return read_operator_settings({**variables, "POD_NAMESPACE": "voice", "CRD_FILE": str(CRD)})


def test_the_operator_honours_the_release_s_namespace_alone_by_default(defaults: Any) -> None:
    assert operator_settings(defaults).policy == TrustPolicy("voice")


def test_the_operator_understands_the_trust_of_the_values(render: Any) -> None:
    policy = operator_settings(render(EVERYTHING)).policy
    assert policy.pool_namespaces == {"contact-centre", "lab"}
    assert policy.foreign_pools_may_take_nodes
    assert str(policy.echo_hosts) == "127.0.0.1/32, 10.1.0.0/16, fd00::/8 and others"
    assert policy.echo_hosts.names == ("echo.example.com",)
    assert str(policy.advertised) == "192.0.2.0/24"


def test_a_network_policy_lets_only_the_named_peers_read_the_operator_s_metrics(render: Any, defaults: Any) -> None:
    assert not [o for o in defaults if o["kind"] == "NetworkPolicy"]
    spec = render(EVERYTHING).find("NetworkPolicy", "rtp-operator")["spec"]
    assert spec["podSelector"]["matchLabels"].items() <= (
        defaults.pod("Deployment", "rtp-operator")["metadata"]["labels"].items()
    )
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = spec["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"name": "metrics"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    closed = render({"operator.networkPolicy.enabled": True}).find("NetworkPolicy", "rtp-operator")["spec"]
    assert closed["ingress"] == []


@VARIANTS
def test_selectors_match_their_pods_and_no_others(render: Any, values: dict[str, Any]) -> None:
    rendered = render(values)
    labels = {name: pod["metadata"]["labels"].items() for name, pod in rendered.pods().items()}
    for o in rendered:
        if o["kind"] in {"DaemonSet", "Deployment"}:
            wanted = o["spec"]["selector"]["matchLabels"].items()
            assert [name for name, held in labels.items() if wanted <= held] == [o["metadata"]["name"]]


def test_another_chart_version_alone_changes_no_pod(defaults: Any) -> None:
    for kind, name in (("DaemonSet", "rtp-echo"), ("DaemonSet", "rtp-relay"), ("Deployment", "rtp-operator")):
        pod = defaults.pod(kind, name)
        assert "rtp-pool-0.1.0" not in json.dumps(pod["metadata"])


def test_every_pod_says_where_to_scrape_it(render: Any, defaults: Any) -> None:
    def scraped(rendered: Any, name: str) -> dict[str, str]:
        annotations = rendered.pod("DaemonSet", name)["metadata"]["annotations"]
        return {key: value for key, value in annotations.items() if key.startswith("prometheus.io/")}

    assert scraped(defaults, "rtp-echo") == {
        "prometheus.io/scrape": "true",
        "prometheus.io/path": "/metrics",
        "prometheus.io/port": "9091",
    }
    assert scraped(defaults, "rtp-relay") == {**scraped(defaults, "rtp-echo"), "prometheus.io/port": "9090"}
    assert scraped(render({"metrics.scrapeAnnotations": False}), "rtp-echo") == {}


def test_pods_can_be_placed(render: Any) -> None:
    for name, pod in render(EVERYTHING).pods().items():
        spec = pod["spec"]
        assert spec["nodeSelector"] == {"media": "true", "kubernetes.io/os": "linux"}, name
        assert spec["tolerations"] == [{"key": "media", "operator": "Exists"}], name
        assert spec["priorityClassName"] == "media", name
        assert spec["imagePullSecrets"] == [{"name": "registry"}], name


def default_pool(rendered: Any) -> DefaultPool:
    """The values of the default pool, as the operator reads them."""
    found = operator_settings(rendered).default_pool
    assert found is not None
    return found


def test_the_default_pool_is_no_object_of_the_chart(defaults: Any) -> None:
    assert not [o for o in defaults if o["kind"] == "RtpPool"]
    assert default_pool(defaults) == DefaultPool(
        "default",
        managed=True,
        spec={"portRange": {"start": 10000, "end": 10100}, "echo": {"host": "127.0.0.1", "port": 4000}},
    )


def test_values_name_the_default_pool_and_decide_whether_they_win(render: Any) -> None:
    given = {"defaultPool.name": "voice", "defaultPool.managed": False, "commonLabels": {"team": "voice"}}
    values = default_pool(render(given))
    assert (values.name, values.managed, values.labels) == ("voice", False, {"team": "voice"})


def test_without_a_default_pool_the_operator_has_no_values_and_no_right_to_write_a_spec(render: Any) -> None:
    rendered = render({"defaultPool.create": False})
    assert operator_settings(rendered).default_pool is None
    assert not [rule for rule in rendered.find("Role", "rtp-operator")["rules"] if "rtppools" in rule["resources"]]


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_default_pool_follows_its_definition(render: Any, chart: Path, values: dict[str, Any]) -> None:
    spec = default_pool(render(values)).spec
    definition = yaml.safe_load((chart / "files/rtppools.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    jsonschema.validate(spec, {**schema, "additionalProperties": False})
    entry = {"name": "default", "namespace": "voice", "uid": "u", "generation": 1, "nodes": [], **spec}
    assert from_json(pool_config.PoolEntry, entry).port_range == PortRange(10000, 10100)


def test_the_pool_takes_range_and_echo_from_the_same_values_as_the_relay(render: Any) -> None:
    rendered = render(
        {"portRange": {"start": 20000, "end": 20009}, "echo.port": 5000, "relay.echo.host": "echo.example.com"}
    )
    spec = default_pool(rendered).spec
    environment = rendered.environment("DaemonSet", "rtp-relay")
    assert spec == {"portRange": {"start": 20000, "end": 20009}, "echo": {"host": "echo.example.com", "port": 5000}}
    assert (environment["PORT_RANGE"], environment["ECHO_HOST"], environment["ECHO_PORT"]) == (
        "20000-20009",
        "echo.example.com",
        "5000",
    )


def test_the_header_extension_is_asked_for_in_the_relays_environment_and_in_the_default_pool(render: Any) -> None:
    rendered = render({"relay.echo.extension": True})
    environment = rendered.environment("DaemonSet", "rtp-relay")
    assert environment["ECHO_EXTENSION"] == "true"
    assert read_relay_settings(plain(environment)).echo.extension is True
    assert default_pool(rendered).spec["echo"]["extension"] is True


def test_an_upgrade_applies_the_definition_before_anything_else(defaults: Any) -> None:
    job = defaults.find("Job", "rtp-crd-upgrade")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    container = defaults.container("Job", "rtp-crd-upgrade")
    assert container["command"] == ["/opt/venv/bin/python", "-m", "rtppool_operator.kube.crd"]
    assert container["image"] == defaults.container("Deployment", "rtp-operator")["image"]
    for kind, name in (
        ("ServiceAccount", "rtp-crd-upgrade"),
        ("ClusterRole", "voice-rtp-crd-upgrade"),
        ("ClusterRoleBinding", "voice-rtp-crd-upgrade"),
    ):
        annotations = defaults.find(kind, name)["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-upgrade"
        assert int(annotations["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])


def test_helm_test_asks_the_relays_as_the_operator_does(render: Any) -> None:
    for values in ({}, {"httpToken.enabled": False}, {"http.tlsSecret": "tls"}):
        rendered = render(values)
        pod = rendered.find("Pod", "rtp-test")
        assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
        operator = rendered.pod("Deployment", "rtp-operator")["spec"]
        assert pod["spec"]["serviceAccountName"] == operator["serviceAccountName"]
        assert pod["spec"].get("volumes") == operator.get("volumes")
        container = rendered.container("Pod", "rtp-test")
        assert container["command"] == ["/opt/venv/bin/python", "-m", "rtppool_operator.check"]
        own, other = rendered.environment("Pod", "rtp-test"), rendered.environment("Deployment", "rtp-operator")
        assert own.items() <= other.items()
        assert {"POD_NAMESPACE", "RELAY_SELECTOR"} <= own.keys()
        assert {name for name in other if name.startswith("RELAY_")} <= own.keys()


SPEC = "defaultPool.spec"
PERCENTILES = ("p50Microseconds", "p95Microseconds", "p99Microseconds")
TWO_TIERS = [{"upToCalls": calls, **dict.fromkeys(PERCENTILES, 1)} for calls in (5, 500)]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, ["150 calls can't be reached by one relay, because the range 10000-10100 has 101 ports."]),
        (
            {SPEC: {"excludedPorts": [10000]}, "portRange.end": 10049},
            [
                f"{calls} calls can't be reached by one relay, because the range 10000-10049 has 50 ports, 1 of them "
                "excluded."
                for calls in (100, 150)
            ],
        ),
        (
            {SPEC: {"maxCalls": 50}},
            [f"{calls} calls can't be reached by one relay, because maxCalls is 50." for calls in (100, 150)],
        ),
        (
            {SPEC: {"sla": {"tiers": TWO_TIERS}}},
            ["500 calls can't be reached by one relay, because the range 10000-10100 has 101 ports."],
        ),
        ({"portRange.end": 10149, SPEC: {"maxCalls": 500}}, []),
        ({"defaultPool.create": False}, []),
    ],
)
def test_the_notes_name_tiers_of_the_default_pool_that_are_out_of_reach(
    notes: Callable[..., str], values: dict[str, Any], named: list[str]
) -> None:
    lines = [line.strip() for line in notes(values).splitlines()]
    assert [line for line in lines if "can't be reached" in line] == named


def test_the_notes_name_the_next_command(notes: Callable[..., str]) -> None:
    assert "kubectl get rtppools --namespace voice --output wide --watch" in notes()
    assert "helm test rtp --namespace voice --logs" in notes()
    assert "kubectl port-forward --namespace voice deployment/rtp-operator 9092" in notes()


def test_the_notes_say_whose_pools_hear_calls(notes: Callable[..., str]) -> None:
    assert "the right to hear every call" in notes()
    assert "Only pools of voice are honoured (operator.poolNamespaces)" in notes()
    assert "Pools of voice and of lab are honoured" in notes({"operator.poolNamespaces": ["lab"]})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"portRange": {"start": 20000, "end": 20256}}, "portRange has 257 ports"),
        (
            {"ari.existingSecret": "pbx", "ari.url": "http://pbx.example.com:8088/ari"},
            "relays send the password of Asterisk to http://pbx.example.com:8088/ari in clear",
        ),
    ],
)
def test_the_notes_warn_of_what_works_on_some_clusters_only(
    notes: Callable[..., str], values: dict[str, Any], sentence: str
) -> None:
    assert sentence in notes(values)
    assert "WARNING" not in notes()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8088/ari", "http://$(NODE_IP):8088/ari", "https://pbx:8089/ari"])
def test_a_password_that_stays_on_the_node_or_is_encrypted_needs_no_warning(
    notes: Callable[..., str], url: str
) -> None:
    assert "in clear" not in notes({"ari.existingSecret": "pbx", "ari.url": url})


def test_the_notes_of_an_upgrade_name_pools_that_are_no_longer_honoured(
    helm: Callable[..., Any], chart: Path, tmp_path: Path
) -> None:
    # helm prints the notes of an upgrade only with a cluster, so a template of a copy includes them.
    copy = tmp_path / "chart"
    shutil.copytree(chart, copy)
    (copy / "templates/NOTES.txt").rename(copy / "NOTES.txt")
    notes = 'kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "NOTES.txt") . | toJson }}\n'
    (copy / "templates/notes.yaml").write_text(notes)

    def rendered(*options: str) -> str:
        words = ("--show-only", "templates/notes.yaml", *set_values(BASE), *options)
        done = helm("template", "rtp", copy, "--namespace", "voice", *words)
        assert done.returncode == 0, done.stderr
        return str(yaml.safe_load(done.stdout)["text"])

    sentence = "A pool of another namespace that had nodes before keeps its last entry"
    assert sentence not in rendered()
    assert sentence in rendered("--is-upgrade")
    assert "kubectl get rtppools --all-namespaces --output custom-columns=" in rendered("--is-upgrade")


def test_three_values_make_a_release_for_a_cluster_without_ipv4(render: Any) -> None:
    rendered = render({"echo.bindAddress": "::", "relay.bindAddress": "::", "relay.echo.host": "::1"})
    relay = read_relay_settings(plain(rendered.environment("DaemonSet", "rtp-relay"), "fd00::10"))
    echo = read_echo_settings(plain(rendered.environment("DaemonSet", "rtp-echo"), "fd00::10"))
    assert (relay.bind_ip, relay.echo.host, echo.echo_bind) == ("::", "::1", "::")
    assert default_pool(rendered).spec["echo"]["host"] == "::1"
    assert "0.0.0.0" not in json.dumps(rendered.objects)
