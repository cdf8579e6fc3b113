"""`python -m rtppool_echo`."""

import sys

from rtppool_core.process.service import run
from rtppool_echo.app import serve

if __name__ == "__main__":
    sys.exit(run("rtp-echo", serve))
