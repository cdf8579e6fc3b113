"""Programs of another root file system as ordinary processes of this machine: same network, same process ids."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import REPOSITORY

# A mount namespace of its own ends with the process, so that nothing stays mounted however it ends. Every step is an
# exec: the process id that is kept is the program's own.
_SCRIPT = """
root=$1 folder=$2; shift 2
mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" && mount --bind "$folder" "$root/mnt" &&
exec chroot "$root" sh -c 'cd /mnt && exec "$@"' rooted "$@"
"""
WORK = Path("/mnt")


@dataclass(frozen=True, slots=True)
class PhoneRoots:
    """Where `python -m lab.cluster phones` has put Asterisk and SIPp."""

    asterisk: Path
    sipp: Path


def have_phones() -> PhoneRoots:
    """Ask the cluster's tooling for both; the first time it makes them, which takes minutes.

    Raises:
        LabError: it can't.
    """
    done = subprocess.run(
        [sys.executable, "-m", "lab.cluster", "phones"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError("no Asterisk and SIPp to run; what is missing is said above")
    folder = Path(done.stdout.strip())
    return PhoneRoots(folder / "asterisk", folder / "sipp")


def rooted(root: Path, folder: Path, words: Sequence[str]) -> list[str]:
    """The command that runs `words` below `root`, in `folder`, which is `WORK` there. Needs root."""
    return [*bound_to_us(), "unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "rooted",
            str(root), str(folder), *words]  # fmt: skip


def bound_to_us() -> list[str]:
    """Begin a command so that it ends with us, even when we are killed: a rig leaves nothing behind."""
    return ["setpriv", "--pdeathsig", "KILL", "--"]
