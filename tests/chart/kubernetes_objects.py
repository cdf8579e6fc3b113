"""Objects against the schemas of Kubernetes, as strict as an API server that refuses unknown fields."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator, Draft202012Validator
from referencing import Registry, Resource

from rtppool_operator.pools.parsing import spec_schema

# From the chart's kubeVersion to the newest that the package has.
VERSIONS = tuple(f"1.{minor}.0" for minor in range(31, 38))


def errors(version: str, o: dict[str, Any]) -> list[str]:
    """Return what an API server of this version refuses in an object."""
    return list(errors_in(version, json.dumps(o)))


@cache
def errors_in(version: str, text: str) -> tuple[str, ...]:
    """Return the same for an object as JSON. Most objects are the same in many renderings."""
    o = json.loads(text)
    group, _, name = o["apiVersion"].rpartition("/")
    kind = "-".join([o["kind"].lower(), *([group.partition(".")[0]] if group else []), name])
    found = validator(version, kind).iter_errors(o)
    return tuple(f"{o['kind']} {error.json_path}: {error.message}" for error in found)


@cache
def validator(version: str, kind: str) -> Draft202012Validator:
    """Return the strict schema of a kind. kubernetes_validate reads 2 MB for each object, and this once a kind."""
    schema = json.loads(folder(version).joinpath(f"{kind}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, registry=definitions(version) @ Registry())


@cache
def definitions(version: str) -> Resource[Any]:
    """Return the definitions to which the schemas of all kinds refer."""
    return Resource.from_contents(json.loads(folder(version).joinpath("_definitions.json").read_text(encoding="utf-8")))


def folder(version: str) -> Any:
    """Return the folder with the strict schemas of a version."""
    return files("kubernetes_validate").joinpath("kubernetes-json-schema", f"v{version}-local-strict")


@cache
def spec_schema_of(root: Path) -> Draft4Validator:
    """Return the schema of a pool's spec."""
    return spec_schema(yaml.safe_load((root / "charts/rtp-pool/files/rtppools.yaml").read_text()))
