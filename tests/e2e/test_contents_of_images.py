"""Contents of the product's images: sizes over their base, packages, user, and no compiler. The cluster is not used."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.cluster.images.bases import Bases
from lab.cluster.images.product_images import COMPONENTS, image_of
from lab.cluster.tooling import make_tooling

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
PAGE = Path(__file__).resolve().parents[2] / "docs/performance.md"
ROW = re.compile(r"^\| `rtp-pool/(\w+)` \| (\d+) MB \| ≤ (\d+) MB \|$", re.MULTILINE)
BYTES_PER_MB = 1_000_000
# Packages that our code imports and an image does without: the echo has no pages, the compiler is core's, and only the
# relay computes with numpy.
ABSENT = {
    "echo": ["jinja2", "llvmlite", "numba", "numpy"],
    "relay": ["llvmlite", "numba"],
    "operator": ["llvmlite", "numba", "numpy"],
}
PYTHON = "/opt/venv/bin/python"
# Imports each module that our code imports, also within functions, and lists all packages.
PROBE = r"""
import ast, importlib, importlib.metadata, json, pathlib, re, sys

def imported(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module

def key(name):
    return re.split(r"[^\w.-]", re.sub("[._-]+", "-", name).lower())[0]

files = pathlib.Path(sys.prefix).glob("lib/python3*/site-packages/rtppool_*/**/*.py")
absent = set()
for name in sorted({name for file in files for name in imported(file)}):
    try:
        importlib.import_module(name)
    except ImportError as error:
        absent.add((error.name or name).partition(".")[0])
loaded = {name.partition(".")[0] for name in sys.modules}
packages = {}
for each in importlib.metadata.distributions():
    tops = {file.parts[0].partition(".")[0] for file in each.files or () if file.suffix in (".py", ".so")}
    needs = [key(need) for need in each.requires or () if "extra ==" not in need]
    packages[key(each.name)] = {"imported": bool(tops & loaded), "requires": needs}
# Beside a library, our modules that need the compiler cannot be imported.
absent -= {"rtppool_relay", "rtppool_echo"}
print(json.dumps({"absent": sorted(absent), "packages": packages}))
"""


def docker(*words: str, given: str = "") -> str:
    done = subprocess.run(["docker", *words], input=given, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def size_bytes(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def probe(component: str) -> dict[str, Any]:
    run = ("run", "--rm", "--interactive", "--network", "none", "--read-only", "--entrypoint", PYTHON)
    found: dict[str, Any] = json.loads(docker(*run, image_of(component), "-", given=PROBE))
    return found


@pytest.fixture(scope="module")
def base_bytes() -> int:
    tooling = make_tooling()
    return size_bytes(Bases(tooling.docker, tooling.machine, tooling.places, tooling.steps).python().image)


def test_the_page_on_performance_has_the_size_of_each_image() -> None:
    assert [name for name, _, _ in ROW.findall(PAGE.read_text())] == list(COMPONENTS)


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_keeps_its_size_over_its_base(component: str, base_bytes: int) -> None:
    published, bound = next(
        (int(size), int(bound)) for name, size, bound in ROW.findall(PAGE.read_text()) if name == component
    )
    size = (size_bytes(image_of(component)) - base_bytes) / BYTES_PER_MB
    assert size <= bound
    assert abs(size - published) <= 1, f"docs/performance.md has {published} MB, the image {size:.1f} MB"


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_package_of_an_image_is_imported_or_required_by_one_that_is(component: str) -> None:
    packages = probe(component)["packages"]
    required = {need for package in packages.values() if package["imported"] for need in package["requires"]}
    assert "rtppool-core" in packages
    assert {name for name, package in packages.items() if not package["imported"]} <= required
    # What our own code requires, it imports.
    own = {need for name, package in packages.items() if name.startswith("rtppool-") for need in package["requires"]}
    assert [name for name in own if not packages[name]["imported"]] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_has_each_package_that_its_program_imports(component: str) -> None:
    assert probe(component)["absent"] == ABSENT[component]


@pytest.mark.parametrize(
    ("component", "room"), [("relay", "rtppool_relay.packets"), ("echo", "rtppool_echo.reflector")]
)
def test_an_image_has_its_packet_process_as_a_library_and_no_compiler(component: str, room: str) -> None:
    tools = "for name in cc gcc ld clang llc; do command -v $name; done; true"
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image_of(component), "-c", tools) == ""
    last = f"import {room}.machine_code, sys; print('numba' in sys.modules)"
    run = ("run", "--rm", "--network", "none", "--read-only", "--entrypoint", PYTHON)
    assert docker(*run, image_of(component), "-c", last) == "False"


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_runs_as_an_ordinary_user_and_has_the_labels_of_oci(component: str) -> None:
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image_of(component)))
    assert config["User"] == "65532:65532"
    names = {f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses")}
    assert config["Labels"].keys() >= names
