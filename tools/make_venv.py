"""Make `.venv` with all packages that the project's commands need. It is safe to run again.

It needs Python 3.11 or later. Debian's Python comes without `venv`: then root gets the package `python3-venv`
installed, and another user gets the command to type.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".ready"
MEMBERS = ("libs/core", "libs/testing", "services/echo", "services/ari", "operator", "tools/callgen")
COMPILED = ("rtppool_relay.packets", "rtppool_echo.reflector")
MIN_PYTHON = (3, 11)


def main() -> int:
    """Make or refresh the environment and return the exit code."""
    if sys.version_info < MIN_PYTHON:
        print(
            f"setup: Python {sys.version.split()[0]} is too old; 3.11 or later is needed (make setup PYTHON=python3.12)"
        )
        return 1
    started = time.monotonic()
    if not (VENV / "bin/python").exists() and not _create():
        return 1
    print("setup: installing the pinned packages into .venv (a minute or so the first time)", flush=True)
    pip = [str(VENV / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    try:
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements/dev.txt")], check=True)
        editable = [word for member in MEMBERS for word in ("-e", str(ROOT / member))]
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", *editable], check=True)
        print("setup: compiling the relay's packet path and the echo (some twenty seconds, once)", flush=True)
        for room in COMPILED:
            subprocess.run([str(VENV / "bin/python"), "-m", f"{room}.compile_ahead"], check=True)
    except subprocess.CalledProcessError as error:
        print(f"setup: a step ended with code {error.returncode}; its message is above. Is a package index reachable?")
        return 1
    STAMP.touch()
    print(f"setup: ready in {time.monotonic() - started:.0f} s")
    return 0


def _create() -> bool:
    if importlib.util.find_spec("ensurepip") is None and not _install_debian_venv():
        return False
    print("setup: making .venv", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    return subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False).returncode == 0


def _install_debian_venv() -> bool:
    """Install the module `venv`, which Debian packages apart from Python."""
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"setup: this Python has no venv module; install it with: sudo apt-get install {package}")
        return False
    print(f"setup: installing {package}, which Debian keeps apart from Python", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
    done = subprocess.run(["apt-get", "install", "-y", "-qq", package], check=False, **quiet)  # type: ignore[call-overload]
    if done.returncode != 0:
        print(f"setup: apt-get could not install {package}; install it by hand and run make again")
    return bool(done.returncode == 0)


if __name__ == "__main__":
    sys.exit(main())
