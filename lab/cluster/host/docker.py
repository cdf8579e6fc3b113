"""Commands of the Docker engine."""

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
    """The engine behind the `docker` command."""

    steps: Steps
    _can_pull: bool = field(default=True, init=False)

    def answers(self) -> bool:
        """Return whether an engine runs and may be used."""
        return ask(["docker", "info", "--format", "{{.ServerVersion}}"]).returncode == 0

    def default_runtime(self) -> str:
        """Return the name of the default runtime."""
        return ask(["docker", "info", "--format", "{{.DefaultRuntime}}"]).stdout.strip()

    def runtime_path(self, name: str) -> Path | None:
        """Return the program of a runtime that the engine knows, or None."""
        path = ask(["docker", "info", "--format", f'{{{{(index .Runtimes "{name}").Path}}}}']).stdout.strip()
        return Path(path) if path.startswith("/") else None

    def image_id(self, image: str) -> str | None:
        """Return the content address of a local image, or None."""
        answer = ask(["docker", "image", "inspect", "--format", "{{.Id}}", image])
        return answer.stdout.strip() if answer.returncode == 0 else None

    def was_made_by(self, image: str, recipe: str) -> bool:
        """Return whether the local image was made from exactly this recipe."""
        template = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
        answer = ask(["docker", "image", "inspect", "--format", template, image])
        return answer.returncode == 0 and answer.stdout.strip() == recipe

    def pull(self, image: str) -> bool:
        """Pull a public image unless it is local; return whether it is. After one failure no other pull is tried."""
        if self.image_id(image) is not None:
            return True
        if self._can_pull:
            self._can_pull = self._pull(image)
        return self._can_pull

    def _pull(self, image: str) -> bool:
        """Pull an image; give up after 20 s without any output, because the registry is then out of reach."""
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
        self.steps.say(f"pull {image.partition('@')[0]}: not possible here, so the image is built ({log})")
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
        labels: Mapping[str, str] | None = None,
        host_network: bool = False,
    ) -> None:
        """Build an image. With `host_network` its steps use this machine's network."""
        command: list[str | Path] = ["docker", "build", "--tag", image, "--file", dockerfile]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        for name, value in {**({RECIPE_LABEL: recipe} if recipe else {}), **(labels or {})}.items():
            command += ["--label", f"{name}={value}"]
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
        """Import the files below `root` as an image of one layer; `changes` are Dockerfile instructions."""
        words = [word for change in (SEARCH_PATH, *changes) for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as archive:
            self.steps.run(
                f"import {image}",
                ["docker", "import", *words, "-", image],
                expected_seconds=10,
                advice="Is the disk full?",
                source=archive.stdout,
            )
