"""The Dockerfile and the requirement files of the images."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cluster.images.bases import public_base

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SOURCES = {
    "rtppool_core": Path("libs/core/src"),
    "rtppool_relay": Path("services/ari/src"),
    "rtppool_echo": Path("services/echo/src"),
}
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def test_each_image_starts_its_program_under_the_init() -> None:
    entrypoints = [json.loads(words) for words in re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)]
    python = ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m"]
    assert entrypoints == [[*python, f"rtppool_{name}"] for name in ("echo", "relay", "operator", "callgen")]


def test_each_image_has_the_init_without_its_package() -> None:
    assert DOCKERFILE.count("COPY --from=init /usr/bin/tini-static /usr/local/bin/tini\n") == 4
    images = [stage for stage in DOCKERFILE.split("\nFROM ") if "\nENTRYPOINT " in stage]
    assert not [stage for stage in images if "apt-get" in stage]


def test_every_stage_begins_with_the_base_that_is_pinned_by_its_digest() -> None:
    assert re.fullmatch(r"python:3\.13-slim-trixie@sha256:[0-9a-f]{64}", public_base())
    froms = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert {parent for parent, _ in froms} <= {"${BASE}", *(name for _, name in froms)}


@pytest.mark.parametrize("name", ["echo", "relay", "operator", "callgen"])
def test_the_last_layer_with_files_of_an_image_is_the_code(name: str) -> None:
    stage = DOCKERFILE.partition(f"\nFROM {name}-runtime AS {name}\n")[2].partition("\nFROM ")[0]
    assert re.findall(r"^(?:COPY|ADD) .*", stage, re.MULTILINE) == [
        f"COPY --from={name}-code /opt/code /opt/venv/lib/python3.13/site-packages/"
    ]


@pytest.mark.parametrize(
    ("name", "room"), [("packet-path", "rtppool_relay.packets"), ("reflector", "rtppool_echo.reflector")]
)
def test_the_stage_of_a_library_has_every_module_that_its_build_imports(name: str, room: str) -> None:
    stage = DOCKERFILE.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]
    copied = [
        Path(source) for words in re.findall(r"^COPY (\S*src.*) \S+$", stage, re.MULTILINE) for source in words.split()
    ]
    program = f"import json, sys, {room}.build_library; print(json.dumps([*sys.modules]))"
    command = [sys.executable, "-c", program]
    loaded = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603 our own module
    for module in loaded:
        folder = SOURCES.get(module.partition(".")[0])
        if folder is not None:
            file = folder / module.replace(".", "/")
            needed = {file, *file.parents, file.with_suffix(".py"), file / "__init__.py"}
            assert needed.intersection(copied), module


def test_each_image_has_its_name_and_licence_as_labels() -> None:
    for name in ("echo", "relay", "operator", "callgen"):
        stage = DOCKERFILE.partition(f"\nFROM ${{BASE}} AS {name}-runtime\n")[2].partition("\nFROM ")[0]
        labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]+)"', stage))
        assert labels.keys() == {"title", "description", "licenses"}, name
        assert labels["licenses"] == "Apache-2.0"


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_each_package_has_a_version_and_a_hash(file: Path) -> None:
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).strip())
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry


def test_the_resolver_is_installed_by_its_hash() -> None:
    assert (
        "pip install --quiet --require-hashes --requirement requirements/uv.txt"
        in (ROOT / "requirements/lock").read_text()
    )
