"""Debian packages of this machine."""

from __future__ import annotations

from lab.base.steps import Steps

ADVICE = "Is the Debian archive of this machine's apt reachable?"


def install(steps: Steps, *packages: str) -> None:
    """Install `packages`; needs root.

    Raises:
        LabError: apt fails.
    """
    steps.run("apt update", ["apt-get", "update", "-qq"], expected_seconds=10, advice=ADVICE)
    steps.run(
        f"apt install {' '.join(packages)}",
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
        expected_seconds=30,
        advice=ADVICE,
        variables={"DEBIAN_FRONTEND": "noninteractive"},
    )
