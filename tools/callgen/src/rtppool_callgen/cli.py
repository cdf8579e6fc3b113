"""The command line of the stand-in."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from rich.console import Console

from rtppool_callgen.demo import Demo, run_demo
from rtppool_callgen.processes import ChildFailed
from rtppool_callgen.serving import Load, serve
from rtppool_core.service import EXIT_FAILED, EXIT_OK, Stop, run

MOST_CALLS = 4096


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "serve":
        load = Load(options.bind, options.port, options.application, options.calls, options.per_second)
        return run("rtp-callgen", lambda stop: serve(load, stop))
    return _demo(Demo(options.calls, options.seconds, options.http_port, options.echo_http_port))


def _demo(demo: Demo) -> int:
    console = Console()
    failures: list[str] = []

    async def start(stop: Stop) -> None:
        try:
            await run_demo(demo, console, stop)
        except ChildFailed as failed:
            failures.append(str(failed))

    code = run("rtp-callgen", start)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return EXIT_FAILED if failures else code or EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rtppool_callgen", description="An Asterisk stand-in: an ARI server whose callers send real RTP."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("run", help="echo, relay and stand-in on this machine, with a live table")
    demo.add_argument("--calls", type=_calls, default=20, help="callers at once (default 20)")
    demo.add_argument("--seconds", type=float, default=0, help="how long; 0 is until Ctrl-C (default)")
    demo.add_argument("--http-port", type=_port, default=9090, help="the relay's HTTP_PORT (default 9090)")
    demo.add_argument("--echo-http-port", type=_port, default=9091, help="the echo's HTTP_PORT (default 9091)")
    alone = commands.add_parser("serve", help="the stand-in alone; ARI_USER and ARI_PASS or ARI_PASS_FILE are its user")
    alone.add_argument("--bind", default="127.0.0.1", help="address to serve ARI on (default 127.0.0.1)")
    alone.add_argument("--port", type=_port, default=8088, help="port to serve ARI on (default 8088)")
    alone.add_argument("--application", default="rtp-pool", help="the relay's APP_NAME (default rtp-pool)")
    alone.add_argument("--calls", type=_calls, default=0, help="callers who arrive (default 0)")
    alone.add_argument("--per-second", type=_rate, default=25.0, help="how many arrive a second (default 25)")
    return parser


def _calls(text: str) -> int:
    return _bounded("calls", text, 0, MOST_CALLS)


def _port(text: str) -> int:
    return _bounded("port", text, 0, 65535)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0
    if not 0 < rate <= 1000:  # noqa: PLR2004 a sane bound, told below
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is a rate above 0, up to 1000")
    return rate


def _bounded(name: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{name} {text!r}; accepted is a whole number from {least} to {most}")
    return int(text)
