"""Programs of another root file system as processes of this machine, with its network and process ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.base.turns import hold_lock
from lab.cluster.tooling import make_tooling

# The mount namespace ends with the process, so that no mount outlives it. Every step is an exec, so that the process id
# is the program's own.
_SCRIPT = """
root=$1 folder=$2; shift 2
mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc" && mount --bind "$folder" "$root/mnt" &&
exec chroot "$root" sh -c 'cd /mnt && exec "$@"' rooted "$@"
"""
WORK = Path("/mnt")


@dataclass(frozen=True, slots=True)
class PhoneRoots:
    """The root file systems of the phones that `python -m lab.cluster phones` made."""

    asterisk: Path
    sipp: Path
    baresip: Path


def prepare_phones() -> PhoneRoots:
    """Return the root file systems. The cluster tooling makes missing ones, which takes minutes.

    Raises:
        LabError: one cannot be made.
    """
    tooling = make_tooling()
    with hold_lock(tooling.places.lock, tooling.steps.say):
        folder = tooling.unpack_phones()
    return PhoneRoots(folder / "asterisk", folder / "sipp", folder / "baresip")


def rooted(root: Path, folder: Path, words: Sequence[str]) -> list[str]:
    """Return the command that runs `words` below `root`, in `folder`, mounted as `WORK`. It needs root rights."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "rooted",
            str(root), str(folder), *words]  # fmt: skip
