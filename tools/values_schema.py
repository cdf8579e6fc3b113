"""Write the generated parts of the chart's values.schema.json.

`$defs/poolSpec` is the schema of the CRD, so that a wrong default pool is refused before anything is installed.
`$defs/kubernetes.*` are Kubernetes' own schemas of the fields that values pass on, so that a misspelt toleration is
refused as well. All of them are closed: an unknown field is an error. The rest of the file is written by hand.

    .venv/bin/python tools/values_schema.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "charts/rtp-pool"
SCHEMA = CHART / "values.schema.json"
CRD = CHART / "files/rtppools.yaml"
# The newest one: an older API server names the fields that it lacks.
KUBERNETES = "v1.37.0-local-strict"
KINDS = {
    "affinity": "io.k8s.api.core.v1.Affinity",
    "env": "io.k8s.api.core.v1.EnvVar",
    "podSecurityContext": "io.k8s.api.core.v1.PodSecurityContext",
    "securityContext": "io.k8s.api.core.v1.SecurityContext",
    "toleration": "io.k8s.api.core.v1.Toleration",
    "topologySpreadConstraint": "io.k8s.api.core.v1.TopologySpreadConstraint",
    "volume": "io.k8s.api.core.v1.Volume",
    "volumeMount": "io.k8s.api.core.v1.VolumeMount",
    "networkPolicyPeer": "io.k8s.api.networking.v1.NetworkPolicyPeer",
}
# Volumes of the trade. The others are deprecated, or belong to databases.
FIELDS = {
    "io.k8s.api.core.v1.Volume": (
        *("configMap", "csi", "downwardAPI", "emptyDir", "hostPath"),
        *("name", "persistentVolumeClaim", "projected", "secret"),
    ),
    "io.k8s.api.core.v1.VolumeProjection": ("configMap", "downwardAPI", "secret", "serviceAccountToken"),
    "io.k8s.api.core.v1.EnvVarSource": ("configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"),
}
CORE = "io.k8s.api.core.v1."
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
ID = {"minimum": 0, "maximum": 2_147_483_647}
MODE = {"minimum": 0, "maximum": 0o777}
TEXT = {"minLength": 1}
PROFILE = {"type": {"enum": ["Unconfined", "RuntimeDefault", "Localhost"]}}
# Bounds that only the API server checks.
BOUNDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    f"{CORE}Toleration": {
        "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
        "operator": {"enum": ["Exists", "Equal"]},
    },
    f"{CORE}TopologySpreadConstraint": {
        "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
        "maxSkew": {"minimum": 1},
        "minDomains": {"minimum": 1},
        "nodeAffinityPolicy": {"enum": ["Honor", "Ignore"]},
        "nodeTaintsPolicy": {"enum": ["Honor", "Ignore"]},
        "topologyKey": TEXT,
    },
    f"{CORE}NodeSelector": {"nodeSelectorTerms": {"minItems": 1}},
    f"{CORE}NodeSelectorRequirement": {"operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]}},
    f"{META}LabelSelectorRequirement": {"operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist"]}},
    f"{CORE}PreferredSchedulingTerm": {"weight": {"minimum": 1, "maximum": 100}},
    f"{CORE}WeightedPodAffinityTerm": {"weight": {"minimum": 1, "maximum": 100}},
    f"{CORE}PodAffinityTerm": {"topologyKey": TEXT},
    f"{CORE}SeccompProfile": PROFILE,
    f"{CORE}AppArmorProfile": PROFILE,
    f"{CORE}PodSecurityContext": {
        "runAsUser": ID,
        "runAsGroup": ID,
        "fsGroup": ID,
        "supplementalGroups": {"items": {"type": "integer", **ID}},
        "fsGroupChangePolicy": {"enum": ["OnRootMismatch", "Always"]},
        "supplementalGroupsPolicy": {"enum": ["Merge", "Strict"]},
        "seLinuxChangePolicy": {"enum": ["Recursive", "MountOption"]},
    },
    f"{CORE}SecurityContext": {"runAsUser": ID, "runAsGroup": ID, "procMount": {"enum": ["Default"]}},
    f"{CORE}ConfigMapVolumeSource": {"name": TEXT, "defaultMode": MODE},
    f"{CORE}ConfigMapProjection": {"name": TEXT},
    f"{CORE}SecretVolumeSource": {"secretName": TEXT, "defaultMode": MODE},
    f"{CORE}SecretProjection": {"name": TEXT},
    f"{CORE}ProjectedVolumeSource": {"defaultMode": MODE, "sources": {"minItems": 1}},
    f"{CORE}DownwardAPIVolumeSource": {"defaultMode": MODE},
    f"{CORE}KeyToPath": {"mode": MODE},
    f"{CORE}ServiceAccountTokenProjection": {"expirationSeconds": {"minimum": 600}},
    f"{CORE}PersistentVolumeClaimVolumeSource": {"claimName": TEXT},
    f"{CORE}EmptyDirVolumeSource": {"medium": {"enum": ["", "Memory"]}},
    f"{CORE}HostPathVolumeSource": {
        "path": TEXT,
        "type": {
            "enum": [
                *("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate"),
                *("Socket", "CharDevice", "BlockDevice"),
            ]
        },
    },
    f"{CORE}VolumeMount": {"mountPropagation": {"enum": ["None", "HostToContainer"]}},
    f"{CORE}ConfigMapKeySelector": {"name": TEXT},
    f"{CORE}SecretKeySelector": {"name": TEXT},
    f"{CORE}ResourceFieldSelector": {
        "resource": {
            "enum": [f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "memory")]
            + [f"{part}.ephemeral-storage" for part in ("limits", "requests")]
        }
    },
}
# Fields that only the API server requires.
REQUIRED: Mapping[str, Mapping[str, Any]] = {
    f"{CORE}ConfigMapVolumeSource": {"required": ["name"]},
    f"{CORE}ConfigMapProjection": {"required": ["name"]},
    f"{CORE}SecretVolumeSource": {"required": ["secretName"]},
    f"{CORE}SecretProjection": {"required": ["name"]},
    f"{CORE}ProjectedVolumeSource": {"required": ["sources"]},
    f"{CORE}VolumeProjection": {"minProperties": 1, "maxProperties": 1},
    f"{CORE}ConfigMapKeySelector": {"required": ["key", "name"]},
    f"{CORE}SecretKeySelector": {"required": ["key", "name"]},
    f"{CORE}EnvVarSource": {"minProperties": 1, "maxProperties": 1},
    f"{CORE}NodeSelectorTerm": {"minProperties": 1},
    f"{CORE}SeccompProfile": {"required": ["type"]},
    "io.k8s.api.networking.v1.NetworkPolicyPeer": {"minProperties": 1},
}
# The images are for Linux.
NOT_OF_LINUX = ("windowsOptions",)
# The chart's own values, with names of their own.
CHART_FIELDS = ("portRange", "echo")
# Wishes of the API server that JSON Schema draft 7 doesn't have.
LEFT_OUT = ("default", "description", "format")


def main() -> None:
    """Write the file."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    SCHEMA.write_text(shown(with_generated(schema)), encoding="utf-8")


def shown(schema: Mapping[str, Any]) -> str:
    """Return the text of the file: a line for each generated definition, and indented what is written by hand."""
    lines = {f'"{name}": "{name}"': json.dumps(held) for name, held in schema["$defs"].items() if is_generated(name)}
    names = {name: name if is_generated(name) else held for name, held in schema["$defs"].items()}
    text = json.dumps({**schema, "$defs": names}, indent=2)
    for placeholder, line in lines.items():
        text = text.replace(placeholder, f"{placeholder.partition(':')[0]}: {line}")
    return text + "\n"


def with_generated(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the values with its generated parts as of today."""
    own = {name: held for name, held in schema["$defs"].items() if not is_generated(name)}
    return {**schema, "$defs": {**own, "poolSpec": pool_spec(), **kubernetes_kinds()}}


def is_generated(name: str) -> bool:
    """Return whether a definition is one that this tool writes."""
    return name == "poolSpec" or name.startswith("kubernetes.")


def pool_spec() -> dict[str, Any]:
    """Return the CRD's schema of a spec, without the fields that have values of their own."""
    definition = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    (version,) = definition["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    properties = {name: closed(held) for name, held in spec["properties"].items() if name not in CHART_FIELDS}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of the CRD in draft 7, where an unknown field is an error."""
    result: dict[str, Any] = {}
    for key, held in schema.items():
        if key == "properties":
            result[key] = {name: closed(below) for name, below in held.items()}
            result["additionalProperties"] = False
        elif key in {"items", "additionalProperties"}:
            result[key] = closed(held)
        elif key == "x-kubernetes-list-type" and held == "set":
            result["uniqueItems"] = True
        elif key not in LEFT_OUT and not key.startswith("x-"):
            result[key] = held
    return result


def kubernetes_kinds() -> dict[str, Any]:
    """Return the schemas of `KINDS` and of all kinds below them, by `kubernetes.<kind>`."""
    folder = files("kubernetes_validate").joinpath("kubernetes-json-schema", KUBERNETES)
    definitions = json.loads(folder.joinpath("_definitions.json").read_text(encoding="utf-8"))["$defs"]
    found: dict[str, Any] = {}
    due = list(KINDS.values())
    while due:
        name = due.pop()
        if short(name) not in found:
            found[short(name)] = plain(narrowed(name, definitions[name]), due)
    return dict(sorted(found.items()))


def narrowed(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition with the fields that the chart takes, and with the API server's own bounds."""
    properties = {
        field: held
        for field, held in schema.get("properties", {}).items()
        if field in FIELDS.get(name, [field]) and field not in NOT_OF_LINUX
    }
    for field, bounds in BOUNDS.get(name, {}).items():
        properties[field] = {**bounds} if "enum" in bounds else {**properties[field], **bounds}
    narrowed = {**schema, **REQUIRED.get(name, {})}
    return {**narrowed, "properties": properties} if properties else narrowed


def plain(schema: Any, due: list[str]) -> Any:
    """Return a schema of Kubernetes without its texts; references go to `due`."""
    if isinstance(schema, list):
        return [plain(each, due) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        due.append(name)
        return {"$ref": f"#/$defs/{short(name)}"}
    result: dict[str, Any] = {}
    for key, held in schema.items():
        if key == "properties":
            result[key] = {name: plain(below, due) for name, below in held.items()}
        elif key == "type" and isinstance(held, list):
            kinds = [kind for kind in held if kind != "null"]
            result[key] = kinds[0] if len(kinds) == 1 else kinds
        elif key not in LEFT_OUT and not key.startswith("x-"):
            result[key] = plain(held, due)
    return result


def short(name: str) -> str:
    """Return the name of a definition: `kubernetes.Affinity`."""
    return f"kubernetes.{name.rpartition('.')[2]}"


if __name__ == "__main__":
    main()
