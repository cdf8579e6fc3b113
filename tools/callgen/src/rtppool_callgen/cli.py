"""The command line: `run`, `serve` and `load`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rtppool_callgen.arguments import calls, port, port_range, rate, seconds
from rtppool_callgen.callers.serve import Serving, serve
from rtppool_callgen.demo.run import Demo, run_demo
from rtppool_callgen.load.options import add_load_command, load_options, problems_of
from rtppool_callgen.load.relay_reader import RelayReader
from rtppool_callgen.load.run import run_load
from rtppool_callgen.load.verdict import EXIT_NOTHING_MEASURED
from rtppool_callgen.local.processes import ChildFailed
from rtppool_callgen.local.system import LocalSystem
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.process.service import EXIT_FAILED, EXIT_OK, Stop, run

NAME = "rtp-callgen"
# A log has no width; rich needs one.
PLAIN_WIDTH = 200


def main(arguments: Sequence[str]) -> int:
    """Run a command. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rtppool_callgen",
        description="Places calls with real RTP: from an Asterisk stand-in, with SIPp, or through ARI.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _add_demo(commands)
    serving = _add_serving(commands)
    loading = add_load_command(commands)
    options = parser.parse_args(arguments)
    if options.command == "serve":
        chosen = _serving(options, serving)
        return run(NAME, lambda stop: serve(chosen, stop))
    if options.command == "load":
        if problems := problems_of(options):
            loading.error("; ".join(problems))
        return _load(options)
    system = LocalSystem(options.http_port, options.echo_http_port, options.port_range, options.echo_port)
    return _demo(Demo(options.calls, options.seconds, system))


def _demo(demo: Demo) -> int:
    console = Console()
    failures: list[str] = []

    async def start(stop: Stop) -> None:
        try:
            await run_demo(demo, console, stop)
        except ChildFailed as failed:
            failures.append(str(failed))

    code = run(NAME, start)
    for failure in failures:
        console.print(failure, style="red", markup=False)
    return EXIT_FAILED if failures else code or EXIT_OK


def _load(options: argparse.Namespace) -> int:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    codes = [EXIT_NOTHING_MEASURED]

    async def start(stop: Stop) -> None:
        chosen = load_options(options)
        with tempfile.TemporaryDirectory(prefix="rtp-pool-load-") as folder:
            reader = RelayReader(chosen.relay_url, chosen.relay_token, chosen.relay_authority)
            callers = chosen.make_callers(Path(folder), stop)
            report = await run_load(chosen.load, callers, reader, console, stop)
        codes.append(report.verdict.exit_code)

    return run(NAME, start) or codes[-1]


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("run", help="echo, relay and stand-in on this machine, with a live table")
    demo.add_argument("--calls", type=calls(0), default=20, help="concurrent calls (default 20)")
    demo.add_argument("--seconds", type=float, default=0, help="duration; 0 runs until Ctrl-C (default 0)")
    demo.add_argument("--http-port", type=port, default=9090, help="the relay's HTTP_PORT (default 9090)")
    demo.add_argument("--echo-http-port", type=port, default=9091, help="the echo's HTTP_PORT (default 9091)")
    demo.add_argument(
        "--port-range", type=port_range, default="10000-10100", help="the relay's PORT_RANGE (default 10000-10100)"
    )
    demo.add_argument("--echo-port", type=port, default=4000, help="the echo's ECHO_PORT (default 4000)")


def _add_serving(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    alone = commands.add_parser(
        "serve", help="the stand-in alone, for the user ARI_USER with ARI_PASS or ARI_PASS_FILE"
    )
    alone.add_argument("--bind", default="127.0.0.1", help="address to serve ARI on (default 127.0.0.1)")
    alone.add_argument("--port", type=port, default=8088, help="port to serve ARI on (default 8088)")
    alone.add_argument("--application", default="rtp-pool", help="the relay's APP_NAME (default rtp-pool)")
    alone.add_argument("--calls", type=calls(0), default=0, help="concurrent calls (default 0)")
    alone.add_argument("--per-second", type=rate, default=25.0, help="calls placed per second (default 25)")
    alone.add_argument(
        "--duration",
        type=seconds,
        help="call again and again for this many seconds",
    )
    alone.add_argument(
        "--call-duration",
        type=seconds,
        default=30.0,
        help="with --duration: seconds of each call (default 30)",
    )
    alone.add_argument("--events", type=Path, help="with --duration: file for the calls' events, as JSON lines")
    return alone


def _serving(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Serving:
    plan = None
    if options.duration is not None:
        if options.calls == 0:
            parser.error("--calls 0: --duration needs callers; accepted is 1 or more")
        plan = LoadPlan(options.calls, options.per_second, options.duration, options.call_duration)
        if problems := plan.problems():
            parser.error("; ".join(problems))
    return Serving(
        options.bind, options.port, options.application, options.calls, options.per_second, plan, options.events
    )
