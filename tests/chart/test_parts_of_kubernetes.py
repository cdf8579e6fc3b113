"""Parts of pods and policies that values pass on.

The chart refuses those that the API server would refuse in the middle of an installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes_objects import errors

SPREAD = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
VOLUMES = {"relay.extraVolumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]}
TERM = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "kubernetes.io/hostname"}
PREFERENCE = {"matchExpressions": [{"key": "a", "operator": "Exists"}]}
VALUES = "accepted are values with In and NotIn, one whole number with Gt and Lt, and no values with Exists"


def nodes(*terms: Any) -> dict[str, Any]:
    """Return values with an affinity that requires one of the terms."""
    required = {"nodeSelectorTerms": list(terms)}
    return {"operator.affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def labelled(key: str, operator: str, *values: Any) -> dict[str, Any]:
    """Return values with an affinity to nodes by one expression."""
    return nodes(
        {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}
    )


def preferred(weight: int) -> dict[str, Any]:
    """Return values with a preference of this weight."""
    preference = [{"weight": weight, "preference": PREFERENCE}]
    return {"operator.affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preference}}}


def pods(**more: Any) -> dict[str, Any]:
    """Return values with an affinity to pods."""
    required = [{**TERM, **more}]
    return {"operator.affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


REFUSED: list[tuple[Mapping[str, Any], str]] = [
    (labelled("a", "Inn"), "operator': value must be one of 'In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'"),
    (labelled("a", "In"), f"has operator In and values []; {VALUES}"),
    (labelled("a", "Exists", "b"), f"has operator Exists and values [b]; {VALUES}"),
    (labelled("a", "Gt", "abc"), f"has operator Gt and values [abc]; {VALUES}"),
    (labelled("a", "Lt", "1", "2"), f"has operator Lt and values [1, 2]; {VALUES}"),
    (labelled("a b", "Exists"), "has a b: , which no label can be"),
    (labelled("a", "In", "b c"), "has a: b c, which no label can be"),
    (labelled("a", "In", 1), "values/0': got number, want string"),
    (nodes(), "nodeSelectorTerms': minItems: got 0, want 1"),
    (nodes({}), "nodeSelectorTerms/0': minProperties: got 0, want 1"),
    (
        nodes({"matchFields": [{"key": "metadata.labels", "operator": "In", "values": ["x"]}]}),
        "has key metadata.labels and operator In; accepted is metadata.name",
    ),
    (preferred(0), "weight': minimum: got 0, want 1"),
    (preferred(101), "weight': maximum: got 101, want 100"),
    (pods(topologyKey=""), "topologyKey': minLength: got 0, want 1"),
    (pods(topologyKey="a b"), "topologyKey is a b; accepted is the key of a node label"),
    (pods(namespaces=["A B"]), "namespaces[0] is A B; accepted is the name of a namespace"),
    (
        pods(labelSelector={"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
        "operator': value must be one of 'In', 'NotIn', 'Exists', 'DoesNotExist'",
    ),
    (
        {"operator.topologySpreadConstraints": [SPREAD, SPREAD]},
        "operator.topologySpreadConstraints[1] has kubernetes.io/hostname and ScheduleAnyway, as",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "maxSkew": 0}]},
        "at '/operator/topologySpreadConstraints/0/maxSkew': minimum: got 0, want 1",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "topologyKey": ""}]},
        "at '/operator/topologySpreadConstraints/0/topologyKey': minLength: got 0, want 1",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "topologyKey": "a b"}]},
        "operator.topologySpreadConstraints[0].topologyKey is a b; accepted is the key of a node",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "minDomains": 2}]},
        "operator.topologySpreadConstraints[0] has minDomains and whenUnsatisfiable",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "labelSelector": {"matchLabels": {"a": "b c"}}}]},
        "operator.topologySpreadConstraints[0].labelSelector.matchLabels has a: b c, which no",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "nodeTaintsPolicy": "Nope"}]},
        "at '/operator/topologySpreadConstraints/0/nodeTaintsPolicy': value must be one of",
    ),
    (
        {"operator.topologySpreadConstraints": [{**SPREAD, "matchLabelKeys": ["a"]}]},
        "operator.topologySpreadConstraints[0] has matchLabelKeys without labelSelector;",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "configMap": {}}]},
        "at '/relay/extraVolumes/0/configMap': missing property 'name'",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "secret": {}}]},
        "at '/relay/extraVolumes/0/secret': missing property 'secretName'",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "hostPath": {"path": ""}}]},
        "at '/relay/extraVolumes/0/hostPath/path': minLength: got 0, want 1",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "hostPath": {"path": "/a/../b"}}]},
        'relay.extraVolumes[0].hostPath.path is "/a/../b"; accepted is an absolute path without',
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "hostPath": {"path": "/a", "type": "Dir"}}]},
        "at '/relay/extraVolumes/0/hostPath/type': value must be one of '', 'Directory',",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "emptyDir": {"sizeLimit": "banana"}}]},
        "relay.extraVolumes[0].emptyDir.sizeLimit is banana; accepted is a quantity such as 64Mi",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "configMap": {"name": "a b"}}]},
        "relay.extraVolumes[0].configMap.name is a b; accepted is the name of an object",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "configMap": {"name": "a", "items": [{"key": "k", "path": "../x"}]}}]},
        'relay.extraVolumes[0].configMap.items[0].path is "../x"; accepted is a relative path',
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "configMap": {"name": "a", "defaultMode": 1000}}]},
        "at '/relay/extraVolumes/0/configMap/defaultMode': maximum: got 1,000, want 511",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "A B"}}]},
        "relay.extraVolumes[0].persistentVolumeClaim.claimName is A B; accepted is the name of",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "projected": {}}]},
        "at '/relay/extraVolumes/0/projected': missing property 'sources'",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "projected": {"sources": [{}]}}]},
        "at '/relay/extraVolumes/0/projected/sources/0': minProperties: got 0, want 1",
    ),
    (
        {
            "relay.extraVolumes": [
                {
                    "name": "a",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]},
                }
            ]
        },
        "at '/relay/extraVolumes/0/projected/sources/0/serviceAccountToken/expirationSeconds':",
    ),
    (
        {"relay.extraVolumes": [{"name": "a", "downwardAPI": {"items": [{"path": "a"}]}}]},
        "relay.extraVolumes[0].downwardAPI.items[0] has path; accepted is one of fieldRef and",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x"}, {"name": "b", "mountPath": "/x/"}]},
        "relay.extraVolumeMounts[1].mountPath is /x/; accepted is an absolute path that neither",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x", "subPath": "../y"}]},
        'relay.extraVolumeMounts[0].subPath is "../y"; accepted is a relative path without ..',
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x", "subPath": "/y"}]},
        'relay.extraVolumeMounts[0].subPath is "/y"; accepted is a relative path without ..',
    ),
    (
        {
            **VOLUMES,
            "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x", "subPath": "y", "subPathExpr": "$(Z)"}],
        },
        "relay.extraVolumeMounts[0] has subPath and subPathExpr; accepted is one of both",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x", "mountPropagation": "Both"}]},
        "at '/relay/extraVolumeMounts/0/mountPropagation': value must be one of 'None',",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/proc"}]},
        "relay.extraVolumeMounts[0].mountPath is /proc; accepted is an absolute path that",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/usr"}]},
        "relay.extraVolumeMounts[0].mountPath is /usr; accepted is an absolute path that neither",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x/../opt"}]},
        "relay.extraVolumeMounts[0].mountPath is /x/../opt; accepted is an absolute path that",
    ),
    (
        {**VOLUMES, "relay.extraVolumeMounts": [{"name": "a", "mountPath": "/x", "recursiveReadOnly": "Enabled"}]},
        "relay.extraVolumeMounts[0].recursiveReadOnly is Enabled; accepted is readOnly true as",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {}}]},
        "at '/relay/extraEnv/0/valueFrom': minProperties: got 0, want 1",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostname"}}}]},
        "relay.extraEnv[0].valueFrom.fieldRef.fieldPath is status.hostname; accepted is a field",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a b']"}}}]},
        "relay.extraEnv[0].valueFrom.fieldRef.fieldPath is metadata.labels['a b']; accepted is a",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "a"}}}]},
        "at '/relay/extraEnv/0/valueFrom/secretKeyRef': missing property 'name'",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "a b"}}}]},
        'relay.extraEnv[0].valueFrom.secretKeyRef.key is "a b"; accepted is a key of a Secret or',
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "A", "key": "a"}}}]},
        "relay.extraEnv[0].valueFrom.configMapKeyRef.name is A; accepted is the name of an object",
    ),
    (
        {
            "relay.extraEnv": [
                {
                    "name": "A",
                    "valueFrom": {
                        "fieldRef": {"fieldPath": "metadata.name"},
                        "secretKeyRef": {"name": "a", "key": "b"},
                    },
                }
            ]
        },
        "at '/relay/extraEnv/0/valueFrom': maxProperties: got 2, want 1",
    ),
    (
        {"relay.extraEnv": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "banana"}}}]},
        "at '/relay/extraEnv/0/valueFrom/resourceFieldRef/resource': value must be one of",
    ),
    ({"operator.networkPolicy.from": [{}]}, "at '/operator/networkPolicy/from/0': minProperties: got 0, want 1"),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]},
        "operator.networkPolicy.from[0].ipBlock.cidr is 10.0.0.0/99; accepted is a network such",
    ),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.5/8"}}]},
        "operator.networkPolicy.from[0].ipBlock.cidr is 10.0.0.5/8; accepted is a network such",
    ),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0"}}]},
        "operator.networkPolicy.from[0].ipBlock.cidr is 10.0.0.0; accepted is a network such as",
    ),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]},
        "operator.networkPolicy.from[0] has ipBlock, podSelector; accepted is ipBlock alone, or",
    ),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.0.2.0/24"]}}]},
        "operator.networkPolicy.from[0].ipBlock.except[0] is 192.0.2.0/24; accepted is a smaller",
    ),
    (
        {"operator.networkPolicy.from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]},
        "operator.networkPolicy.from[0].ipBlock.except[0] is 10.0.0.0/8; accepted is a smaller",
    ),
    (
        {"operator.networkPolicy.from": [{"namespaceSelector": {"matchLabels": {"a": "b c"}}}]},
        "operator.networkPolicy.from[0].namespaceSelector.matchLabels has a: b c, which no label",
    ),
    (
        {
            "operator.networkPolicy.from": [
                {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}}
            ]
        },
        "at '/operator/networkPolicy/from/0/namespaceSelector/matchExpressions/0/operator':",
    ),
    (
        {
            "operator.networkPolicy.from": [
                {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}
            ]
        },
        "operator.networkPolicy.from[0].namespaceSelector.matchExpressions[0] has operator In",
    ),
    (
        {
            "operator.networkPolicy.from": [
                {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}
            ]
        },
        "operator.networkPolicy.from[0].podSelector.matchExpressions[0] has operator Exists and",
    ),
    (
        {"operator.networkPolicy.from": [{"podSelector": {"matchLabels": {"a b": "c"}}}]},
        "operator.networkPolicy.from[0].podSelector.matchLabels has a b: c, which no label can",
    ),
    ({"podSecurityContext": {"runAsUser": -1}}, "at '/podSecurityContext/runAsUser': minimum: got -1, want 0"),
    (
        {"podSecurityContext": {"seccompProfile": {"type": "Nope"}}},
        "at '/podSecurityContext/seccompProfile/type': value must be one of 'Unconfined',",
    ),
    (
        {"podSecurityContext": {"seccompProfile": {"type": "Localhost"}}},
        'podSecurityContext.seccompProfile has type Localhost and localhostProfile ""; accepted',
    ),
    (
        {"podSecurityContext": {"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}}},
        'podSecurityContext.seccompProfile has type RuntimeDefault and localhostProfile "x";',
    ),
    (
        {"podSecurityContext": {"sysctls": [{"name": "a b", "value": "1"}]}},
        "podSecurityContext.sysctls[0].name is a b; accepted is a sysctl outside net, because",
    ),
    (
        {"podSecurityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}},
        "podSecurityContext.sysctls[0].name is net.core.somaxconn; accepted is a sysctl outside",
    ),
    (
        {"podSecurityContext": {"supplementalGroups": [-1]}},
        "at '/podSecurityContext/supplementalGroups/0': minimum: got -1, want 0",
    ),
    (
        {"podSecurityContext": {"fsGroupChangePolicy": "Sometimes"}},
        "at '/podSecurityContext/fsGroupChangePolicy': value must be one of 'OnRootMismatch',",
    ),
    (
        {"podSecurityContext": {"appArmorProfile": {"type": "Localhost"}}},
        'podSecurityContext.appArmorProfile has type Localhost and localhostProfile ""; accepted',
    ),
    (
        {"podSecurityContext": {"seLinuxChangePolicy": "x"}},
        "at '/podSecurityContext/seLinuxChangePolicy': value must be one of 'Recursive',",
    ),
    (
        {"podSecurityContext": {"supplementalGroupsPolicy": "x"}},
        "at '/podSecurityContext/supplementalGroupsPolicy': value must be one of 'Merge',",
    ),
    (
        {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
        "securityContext has privileged true and allowPrivilegeEscalation false; accepted is",
    ),
    (
        {"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": False}},
        "securityContext.capabilities.add has CAP_SYS_ADMIN; accepted are ALL and capabilities",
    ),
    (
        {"securityContext": {"capabilities": {"add": ["BANANA"]}}},
        "securityContext.capabilities.add has BANANA; accepted are ALL and capabilities of Linux",
    ),
    ({"securityContext": {"procMount": "Unmasked"}}, "at '/securityContext/procMount': value must be 'Default'"),
    (
        {"securityContext": {"seccompProfile": {"type": "Localhost"}}},
        'securityContext.seccompProfile has type Localhost and localhostProfile ""; accepted is',
    ),
    ({"securityContext": {"runAsUser": -5}}, "at '/securityContext/runAsUser': minimum: got -5, want 0"),
    (
        {"securityContext.privileged": True},
        "securityContext has privileged true and allowPrivilegeEscalation false; accepted is",
    ),
]

ACCEPTED: list[Mapping[str, Any]] = [
    labelled("a", "In", "b", "c"),
    labelled("a", "DoesNotExist"),
    labelled("cores", "Gt", "8"),
    nodes({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}),
    preferred(100),
    pods(namespaces=["voice"], matchLabelKeys=["pod-template-hash"]),
    {"operator.topologySpreadConstraints": [SPREAD, {**SPREAD, "topologyKey": "topology.kubernetes.io/zone"}]},
    {"operator.topologySpreadConstraints": [{**SPREAD, "whenUnsatisfiable": "DoNotSchedule", "minDomains": 2}]},
    {
        "relay.extraVolumes": [
            {"name": "a", "hostPath": {"path": "/var/log", "type": "Directory"}},
            {"name": "b", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "c", "secret": {"secretName": "s", "items": [{"key": "k", "path": "a/b"}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "e", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}]}},
        ],
        "relay.extraVolumeMounts": [
            {"name": "a", "mountPath": "/logs", "readOnly": True, "recursiveReadOnly": "Enabled"},
            {"name": "b", "mountPath": "/cache", "subPath": "x/y", "mountPropagation": "HostToContainer"},
        ],
    },
    {
        "relay.extraEnv": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            {"name": "ADVERTISE_IP", "value": "192.0.2.9"},
        ],
    },
    {
        "operator.networkPolicy.enabled": True,
        "operator.networkPolicy.from": [
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
            {"podSelector": {}, "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
        ],
    },
    {"podSecurityContext.seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/media.json"}},
    {"podSecurityContext.sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
    {"securityContext.capabilities": {"drop": ["all"], "add": ["NET_RAW"]}},
    {"relay.resources": {"requests": {"example.com/nic": 1}, "limits": {"example.com/nic": 1, "hugepages-2Mi": "4Mi"}}},
    {"relay.resources.limits.cpu": "100m", "relay.resources.requests.cpu": "0.1"},
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_a_part_that_the_api_server_would_refuse_is_refused_with_its_place(
    try_to_render: Any, values: Mapping[str, Any], sentence: str
) -> None:
    done = try_to_render(values)
    assert done.returncode != 0, done.stdout
    assert sentence in done.stderr


@pytest.mark.parametrize("values", ACCEPTED)
def test_a_part_that_kubernetes_takes_is_passed_on(render: Any, values: Mapping[str, Any]) -> None:
    rendered = render(values)
    assert [error for o in rendered for error in errors("1.37.0", o)] == []
