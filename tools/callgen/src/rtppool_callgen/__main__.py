"""`python -m rtppool_callgen`."""

import sys

from rtppool_callgen.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
