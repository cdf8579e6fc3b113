"""Reads an image's parts in the image itself: cyclonedx-bom over its Python environment, dpkg over the rest."""

from __future__ import annotations

import json
import subprocess
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.base.places import REPOSITORY
from lab.base.steps import Steps
from lab.release.sbom_document import Contents, completed, parse_contents

REQUIREMENTS = REPOSITORY / "requirements/sbom.txt"
ENVIRONMENT = REPOSITORY / ".cache/sbom"
SCHEMA_CHECK = Path(__file__).with_name("sbom_schema.py")
PYTHON = "/opt/venv/bin/python"
TOOLS = "/opt/sbom"
# The image's own environment stays as it is: the tool is added to this process alone, and starts the interpreter anew.
CYCLONEDX = f"import runpy, sys; sys.path.append('{TOOLS}'); runpy.run_module('cyclonedx_py', run_name='__main__')"
PROBE = r"""
import json, pathlib, platform, subprocess, sys

def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout

release = platform.freedesktop_os_release()
programs = {"tini": output("/usr/local/bin/tini", "--version").split()[2]}
python = str(pathlib.Path(sys.base_prefix, "bin/python3"))
if subprocess.run(["dpkg", "--search", python], capture_output=True).returncode:
    programs["python"] = platform.python_version()
dpkg = output("dpkg-query", "--show", "--showformat", r"${Package}\t${Version}\t${Architecture}\n")
print(json.dumps({"distribution": release["ID"], "release": release["VERSION_ID"], "dpkg": dpkg, "programs": programs}))
"""


@dataclass(frozen=True, slots=True)
class PartsList:
    """The lists of the parts of images. `created` is the commit's time."""

    steps: Steps
    created: str

    def write(self, image: str, name: str, version: str, file: Path) -> None:
        """List the parts of a local image in `file`.

        Raises:
            LabError: a program fails, or the list does not fit the schema of CycloneDX.
        """
        site = self._tools()
        words = ("environment", "--output-reproducible", "--no-validate", "--output-format", "JSON", PYTHON)
        mount = ("--volume", f"{site}:{TOOLS}:ro")
        document = _json_of(image, ["-c", CYCLONEDX, *words], mount)
        contents = self.contents(image)
        text = json.dumps(completed(document, contents, name, version, self.created), indent=1)
        file.write_text(text + "\n", encoding="utf-8")
        self.steps.run(
            f"schema of {file.name}",
            [ENVIRONMENT / "bin/python", SCHEMA_CHECK, file],
            expected_seconds=5,
            advice="cyclonedx-bom and lab/release/sbom_document.py write this file.",
        )

    def contents(self, image: str) -> Contents:
        """Return the parts outside of the Python environment."""
        return parse_contents(_json_of(image, ["-c", PROBE]))

    def _tools(self) -> Path:
        """Return the folder of the packages, after installing them where they are missing or older."""
        stamp = ENVIRONMENT / "requirements.txt"
        if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
            pip = (ENVIRONMENT / "bin/pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes")
            self.steps.run(
                "install cyclonedx-bom",
                [*pip, "--requirement", REQUIREMENTS],
                expected_seconds=20,
                advice="Is a Python package index reachable?",
            )
            stamp.write_bytes(REQUIREMENTS.read_bytes())
        return next(ENVIRONMENT.glob("lib/python3*/site-packages"))


def _json_of(image: str, arguments: Sequence[str], options: Sequence[str] = ()) -> dict[str, Any]:
    """Run the image's interpreter without a network; return the JSON that it prints."""
    run = ("docker", "run", "--rm", "--network", "none", "--read-only", "--entrypoint", PYTHON, *options, image)
    done = subprocess.run([*run, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{image}: {PYTHON} ended with code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout))
