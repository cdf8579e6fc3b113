"""SHA256SUMS in the format of sha256sum, and the comparison of two of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

FILE = "SHA256SUMS"
LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>\S+)")
# Layers of images have the times of their build.
NOT_REPRODUCIBLE = (".tar", ".cdx.json")


def write(folder: Path) -> None:
    """Write the checksums of all other files of `folder`."""
    files = sorted(file for file in folder.iterdir() if file.name != FILE)
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")


def parse(text: str) -> dict[str, str]:
    """Return the digests by file name. Other lines are no checksums."""
    return {found["name"]: found["digest"] for line in text.splitlines() if (found := LINE.fullmatch(line))}


def differences(made: Mapping[str, str], published: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reproducible file that differs, is missing or is new."""
    names = sorted(name for name in {*made, *published} if not name.endswith(NOT_REPRODUCIBLE))
    return list(_sentences(names, made, published))


def _sentences(names: Iterable[str], made: Mapping[str, str], published: Mapping[str, str]) -> Iterable[str]:
    for name in names:
        if name not in made:
            yield f"{name}: is published and was not made here"
        elif name not in published:
            yield f"{name}: was made here and is not published"
        elif made[name] != published[name]:
            yield f"{name}: {made[name]} here, {published[name]} published"
