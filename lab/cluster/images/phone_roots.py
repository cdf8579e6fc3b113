"""Root file systems of the phones: their programs run as ordinary processes, so that a kill reaches them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from lab.base.errors import LabError
from lab.base.places import Places
from lab.base.steps import Steps, ask
from lab.cluster.host.machine import Machine
from lab.cluster.images.phone_images import ASTERISK, BARESIP, SIPP, phone_recipe

IMAGES = {"asterisk": ASTERISK, "sipp": SIPP, "baresip": BARESIP}
RECIPE = ".recipe"
UNPACK_SECONDS = 10


@dataclass(frozen=True, slots=True)
class PhoneRoots:
    """The root file systems below `places.phones`."""

    machine: Machine
    places: Places
    steps: Steps

    def up(self, build_images: Callable[[], None]) -> None:
        """Unpack all unless they are current. `build_images` is called only when one is missing or outdated.

        Raises:
            LabError: the user is not root, or an image cannot be made or unpacked.
        """
        missing = [name for name in IMAGES if not self._is_current(name)]
        if not missing:
            return
        if not self.machine.is_root:
            raise LabError("phones: their files belong to root, so unpacking and running them needs root")
        build_images()
        for name in missing:
            self._unpack(name)

    def _is_current(self, name: str) -> bool:
        written = self.places.phones / name / RECIPE
        return written.exists() and written.read_text() == phone_recipe(name)

    def _unpack(self, name: str) -> None:
        """Unpack into a folder beside the root and rename it, so that a partial root is never used."""
        root = self.places.phones / name
        unfinished = self.places.phones / f"{name}.unfinished"
        for folder in (root, unfinished):
            shutil.rmtree(folder, ignore_errors=True)
        unfinished.mkdir(parents=True)
        created = ask(["docker", "create", "--network", "none", IMAGES[name]])
        if created.returncode != 0:
            raise LabError(f"phones: no container of {IMAGES[name]}: {created.stderr.strip()}")
        container = created.stdout.strip()
        try:
            with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as archive:
                self.steps.run(
                    f"unpack {name}",
                    ["tar", "-x", "-C", unfinished],
                    expected_seconds=UNPACK_SECONDS,
                    advice="Is the disk full?",
                    source=archive.stdout,
                )
        finally:
            ask(["docker", "rm", container])
        (unfinished / RECIPE).write_text(phone_recipe(name))
        unfinished.rename(root)
