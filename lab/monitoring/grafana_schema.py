"""TypeScript's verdict on a dashboard: a literal of the type `Dashboard` of Grafana's own schema.

Grafana itself is in no package registry. Its schema and the compiler come from npm, pinned by hash.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster.programs.npm_packages import NpmPackages

RECIPE = Path(__file__).parent / "recipes"
OPTIONS = (*("--strict", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2022"),)
SOURCE = "import type {{ Dashboard }} from '@grafana/schema';\nexport const dashboard: Dashboard = {text};\n"
MAX_COMPILE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class GrafanaSchema:
    """Grafana's types and the compiler, in the cache."""

    places: Places
    steps: Steps

    def complaints(self, dashboard: Mapping[str, Any]) -> str:
        """Return the compiler's errors, empty for a valid dashboard.

        Raises:
            LabError: a package can't be had.
        """
        packages = NpmPackages("grafana-schema", RECIPE, self.places, self.steps)
        node, modules = packages.node(), packages.modules()
        with tempfile.TemporaryDirectory(prefix="rtp-pool-dashboard-") as folder:
            (Path(folder) / "node_modules").symlink_to(modules)
            source = Path(folder) / "dashboard.ts"
            source.write_text(SOURCE.format(text=json.dumps(dashboard, indent=2)), encoding="utf-8")
            compiler = modules / "typescript/bin/tsc"
            answer = ask([node, compiler, *OPTIONS, source], seconds=MAX_COMPILE_SECONDS)
        if answer.returncode == 0:
            return ""
        return answer.stdout + answer.stderr or f"tsc ended with {answer.returncode}"
