"""`python -m rtppool_relay`."""

import sys

from rtppool_core.service import run
from rtppool_relay.app import serve

if __name__ == "__main__":
    sys.exit(run("rtp-relay", serve))
