"""The CRDs of Prometheus Operator, out of its Go module. The module proxy checks nothing, so its hash is pinned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster import versions
from lab.cluster.programs.builds import ADVICE
from lab.cluster.programs.go_toolchain import find_go

MODULE = "github.com/prometheus-operator/prometheus-operator"
FOLDER = "example/prometheus-operator-crd"
MAX_SECONDS = 300


def definition_file(kind: str, places: Places, steps: Steps) -> Path:
    """Return the file of a CRD: `podmonitors` or `prometheusrules`.

    Raises:
        LabError: the module can't be had, or is not the pinned one.
    """
    wanted = f"{MODULE}@v{versions.PROMETHEUS_OPERATOR}"
    answer = ask([find_go(places, steps), "mod", "download", "-json", wanted], seconds=MAX_SECONDS)
    if answer.returncode != 0:
        raise LabError(f"{wanted}: {(answer.stdout + answer.stderr).strip()}\n{ADVICE}")
    module = json.loads(answer.stdout)
    if module["Sum"] != versions.PROMETHEUS_OPERATOR_SUM:
        raise LabError(f"{wanted}: has the hash {module['Sum']}; expected is {versions.PROMETHEUS_OPERATOR_SUM}")
    return Path(module["Dir"]) / FOLDER / f"monitoring.coreos.com_{kind}.yaml"


def schema_of(definition: Path) -> dict[str, Any]:
    """Return the schema of a CRD's only version, where an unknown field is an error."""
    document = yaml.load(definition.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (version,) = document["spec"]["versions"]
    schema: dict[str, Any] = _closed(version["schema"]["openAPIV3Schema"])
    # The API server checks the metadata of every object by itself.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _closed(schema: Any) -> Any:
    """Return a schema as an API server applies it: unknown fields are refused under strict validation."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: _closed(held) for key, held in schema.items() if key not in {"description", "format", "properties"}}
    if "(?i)" in (pattern := made.get("pattern", "")):
        made["pattern"] = f"(?i){pattern.replace('(?i)', '')}"  # Python's flags come first
    if "properties" in schema:
        made["properties"] = {name: _closed(below) for name, below in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    return made
