"""Run as `python -m lab.faults.operator`; see `--help`."""

from __future__ import annotations

import sys

from lab.faults.operator.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
