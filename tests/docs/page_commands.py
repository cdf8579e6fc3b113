"""The commands of the pages for a first installation, and the reasons for those that `make e2e` does not run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TROUBLESHOOTING = "docs/troubleshooting.md"
# In the order of `make e2e`: the last page ends with the uninstall.
PAGES = ("README.md", TROUBLESHOOTING, "docs/install.md")
COMMANDS = "sh"
# Fences with no command in them.
OTHER_LANGUAGES = frozenset({"ini", "yaml", "json", "text"})
PROGRAMS = ("docker", "git", "helm", "kubectl", "make", "skaffold", ".venv/bin/python")

_PUSH_IMAGES = (
    "for name in echo relay operator callgen; do "
    "skopeo copy oci-archive:dist/rtp-pool-$name-0.1.0-amd64.tar "
    "docker://registry.example.com/voice/rtp-pool/$name:0.1.0; done"
)
# Commands that no test runs from the page, each with the reason.
NOT_RUN = {
    "make up": "`make e2e` begins with the same recipe, on the cluster of all tests.",
    "make down": "It would delete the cluster of all tests.",
    "make release": "`.ci/run` runs it without images, whose build takes minutes.",
    _PUSH_IMAGES: "lab/tests/release compares the names with those of the files; a test has no registry.",
    "helm push dist/rtp-pool-0.1.0.tgz oci://registry.example.com/voice": "As the line above.",
    "make e2e": "It is the run that runs these commands.",
    "make help": "tests/docs/test_make_commands.py runs it.",
}

FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IN_BACKGROUND = re.compile(r" &$", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def fences(text: str) -> list[tuple[str, str]]:
    """Return language and content of each fenced block."""
    return [(match[1], match[2]) for match in FENCE.finditer(text)]


def commands(text: str) -> list[str]:
    """Return the commands of a page in order.

    A command goes on over escaped ends of lines and open quotes. A block with a command in the background is one.
    """
    found: list[str] = []
    for language, block in fences(text):
        if language == COMMANDS:
            found += [block] if IN_BACKGROUND.search(block) else _split(block)
    return found


def inline_commands(text: str) -> list[str]:
    """Return the commands with an argument that stand inside sentences and tables."""
    spans = INLINE.findall(FENCE.sub("", text))
    return [span for span in spans if span.startswith(tuple(f"{program} " for program in PROGRAMS))]


def to_run(text: str) -> list[str]:
    """Return the commands of a page that a test must run."""
    return [command for command in commands(text) if command not in NOT_RUN]


def _split(block: str) -> list[str]:
    found: list[str] = []
    pending = ""
    for line in block.splitlines():
        pending += line
        if pending.endswith("\\") or not _is_closed(pending):
            pending += "\n"
        elif pending.strip() and not pending.lstrip().startswith("#"):
            found.append(pending)
            pending = ""
        else:
            pending = ""
    if pending:
        raise ValueError(f"a command does not end: {pending}")
    return found


def _is_closed(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True
