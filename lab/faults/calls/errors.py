"""What keeps a fault run from running; what it finds is not an error but a finding."""

from __future__ import annotations


class ChaosError(Exception):
    """The rig can't be had, or did not come up; the message says what to do or shows the last words of a log."""
