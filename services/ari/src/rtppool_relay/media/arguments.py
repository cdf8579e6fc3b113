"""The words of a media process's command line, apart from all code that starts one."""

from __future__ import annotations

# The third argument: ask for real-time priority.
REAL_TIME = "real-time"
