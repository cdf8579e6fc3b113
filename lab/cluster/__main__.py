"""Run as `python -m lab.cluster VERB`; see `--help`."""

from __future__ import annotations

import sys

from lab.cluster.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
