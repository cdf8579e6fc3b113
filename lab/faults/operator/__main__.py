"""Run as `python -m operator_chaos`; see `--help`."""

from __future__ import annotations

import sys

from operator_chaos.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
