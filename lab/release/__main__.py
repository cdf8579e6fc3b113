"""Run as `python -m lab.release`; see `--help`."""

from __future__ import annotations

import sys

from lab.release.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
