"""Run as `python tests/e2e/cluster VERB`; see `--help`."""

from __future__ import annotations

import sys

from rtppool_cluster.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
