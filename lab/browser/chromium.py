"""Chromium: one on the PATH, or Debian's, which is installed where it may be."""

from __future__ import annotations

import os
import shutil

from lab.base.errors import LabError
from lab.base.places import find_places
from lab.base.steps import Steps
from lab.cluster.host.apt import install
from lab.cluster.host.machine import inspect_machine

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """Return Chromium's path, after installing Debian's where none is there.

    Raises:
        LabError: there is none, and none can be installed.
    """
    if (found := _on_path()) is not None:
        return found
    if not inspect_machine().may_install:
        raise LabError(f"browser: none of {', '.join(BROWSERS)} is on the PATH; install one")
    install(Steps(find_places(os.environ).logs), "chromium-headless-shell", "fonts-dejavu-core")
    return str(_on_path())


def _on_path() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)
