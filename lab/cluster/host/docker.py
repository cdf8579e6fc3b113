"""The few things that are asked of the Docker engine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.base.steps import Steps, ask

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
RECIPE_LABEL = "rtppool.recipe"
FIRST_WORD_SECONDS = 20.0
MAX_PULL_SECONDS = 900.0
SEARCH_PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Docker:
    """The engine that `docker` speaks to."""

    steps: Steps
    _can_pull: bool = field(default=True, init=False)

    def answers(self) -> bool:
        """Whether an engine runs and may be used."""
        return ask(["docker", "info", "--format", "{{.ServerVersion}}"]).returncode == 0

    def default_runtime(self) -> str:
        """Name of the runtime that containers start with."""
        return ask(["docker", "info", "--format", "{{.DefaultRuntime}}"]).stdout.strip()

    def image_id(self, image: str) -> str | None:
        """Content address of a local image, None without it."""
        answer = ask(["docker", "image", "inspect", "--format", "{{.Id}}", image])
        return answer.stdout.strip() if answer.returncode == 0 else None

    def was_made_by(self, image: str, recipe: str) -> bool:
        """Whether the local image was made from exactly this recipe."""
        template = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
        answer = ask(["docker", "image", "inspect", "--format", template, image])
        return answer.returncode == 0 and answer.stdout.strip() == recipe

    def pull(self, image: str) -> bool:
        """Have a public image locally. False where it can't be had; after one failure none other is tried."""
        if self.image_id(image) is not None:
            return True
        if self._can_pull:
            self._can_pull = self._pull(image)
        return self._can_pull

    def _pull(self, image: str) -> bool:
        """A registry that is out of reach must not hold everything up: its first word is awaited for 20 s only."""
        log = self.steps.log_file(f"pull {image.partition('@')[0]}")
        started = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(["docker", "pull", image], stdout=output, stderr=subprocess.STDOUT)
            while (code := process.poll()) is None:
                passed = time.monotonic() - started
                silent = passed > FIRST_WORD_SECONDS and log.stat().st_size == 0
                if silent or passed > MAX_PULL_SECONDS:
                    process.terminate()
                    process.wait()
                    break
                time.sleep(0.1)
        if code == 0:
            self.steps.say(f"pull {image.partition('@')[0]}: done in {time.monotonic() - started:.0f} s")
            return True
        self.steps.say(f"pull {image.partition('@')[0]}: not possible here, so it is made ({log})")
        return False

    def build(
        self,
        image: str,
        dockerfile: Path,
        context: Path,
        *,
        expected_seconds: int,
        arguments: Mapping[str, str] | None = None,
        recipe: str = "",
        target: str = "",
        host_network: bool = False,
    ) -> None:
        """Build an image. `host_network` lets its steps reach what only this machine reaches."""
        command: list[str | Path] = ["docker", "build", "--tag", image, "--file", dockerfile]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        if recipe:
            command += ["--label", f"{RECIPE_LABEL}={recipe}"]
        if target:
            command += ["--target", target]
        if host_network:
            command += ["--network", "host"]
        for name in PROXIES:
            if os.environ.get(name):
                command += ["--build-arg", name]
        self.steps.run(
            f"image {image}",
            [*command, context],
            expected_seconds=expected_seconds,
            advice="Run the command at the top of that file by hand to see more.",
        )

    def import_root(self, image: str, root: Path, changes: Sequence[str]) -> None:
        """Make an image of one layer from the files below `root`; `changes` are Dockerfile instructions."""
        words = [word for change in (SEARCH_PATH, *changes) for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as archive:
            self.steps.run(
                f"import {image}",
                ["docker", "import", *words, "-", image],
                expected_seconds=10,
                advice="Is the disk full?",
                source=archive.stdout,
            )
