"""The Dockerfile and the requirement files of the images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


def test_each_image_starts_its_program_under_the_init() -> None:
    entrypoints = [json.loads(words) for words in re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)]
    python = ["/usr/local/bin/tini", "-s", "--", "/opt/venv/bin/python", "-m"]
    assert entrypoints == [[*python, f"rtppool_{name}"] for name in ("echo", "relay", "operator")]


def test_each_image_has_the_init_without_its_package() -> None:
    assert DOCKERFILE.count("COPY --from=init /usr/bin/tini-static /usr/local/bin/tini\n") == 3
    assert DOCKERFILE.count("apt-get install") == 1


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
