"""`python -m rtppool_echo.check HOST:PORT`: sends RTP packets to an echo and reports the answers.

The exit code is 0 when the echo answered every packet, 1 when it did not, and 2 for invalid arguments.
"""

from __future__ import annotations

import argparse
import socket
import sys

from rtppool_core.contract.port_range import MAX_PORT
from rtppool_core.net.echo_check import MAX_PACKETS, check


def target_of(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        ValueError: it is neither.
    """
    host, _, port_text = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    port = int(port_text) if port_text.isascii() and port_text.isdigit() else 0
    if not host or not 1 <= port <= MAX_PORT:
        raise ValueError(f"{text!r} is no target; accepted is HOST:PORT, for example 127.0.0.1:4000")
    return host, port


def main(arguments: list[str]) -> int:
    """Check one echo. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="rtppool_echo.check", description="Send RTP packets to an echo.")
    parser.add_argument("target", metavar="HOST:PORT")
    parser.add_argument("--packets", type=int, default=50, help="number of packets, one every 20 ms (default 50)")
    parser.add_argument("--wait", type=float, default=2.0, help="seconds to wait for the last answers (default 2)")
    options = parser.parse_args(arguments)
    if not 1 <= options.packets <= MAX_PACKETS:
        parser.error(f"--packets {options.packets}: accepted is 1 to {MAX_PACKETS}")
    try:
        host, port = target_of(options.target)
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except ValueError as error:
        parser.error(str(error))
    except socket.gaierror as error:
        print(f"echo {options.target}: the name can't be resolved: {error.strerror}")  # noqa: T201
        return 1
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(address)
        except OSError as error:
            print(f"echo {options.target}: can't be reached: {error.strerror}")  # noqa: T201
            return 1
        outcome = check(sock, options.packets, options.wait)
    print(outcome.sentence(options.target))  # noqa: T201 the outcome is this program's output
    return 1 if outcome.lost or outcome.changed or outcome.error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
