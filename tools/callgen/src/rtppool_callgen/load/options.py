"""The command line of the load test. Secrets come from the environment, because a list of processes shows arguments."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rtppool_callgen.arguments import calls, port, port_range, rate, read_credentials, seconds
from rtppool_callgen.callers.ari import AriCallers
from rtppool_callgen.callers.asterisk_client import AsteriskClient
from rtppool_callgen.callers.interface import Callers
from rtppool_callgen.callers.sipp import SippCallers, SippSettings
from rtppool_callgen.callers.stand_in import StandInCallers
from rtppool_callgen.load.run import Load
from rtppool_callgen.local.system import LOOPBACK, LocalSystem, RunningRelay, StandInAddress
from rtppool_callgen.plan.plan import LoadPlan
from rtppool_core.net.tls_files import TrustedAuthority
from rtppool_core.process.service import Stop
from rtppool_core.process.settings import Environment

KINDS = ("stand-in", "ari", "sipp")
# A port rests for 5 s after its call: 100 calls, and 50 resting ports at ten calls per second.
PORT_RANGE = "10000-10149"
ARI_URL = "http://127.0.0.1:8088/ari"
RELAY_URL = "http://127.0.0.1:9090"
MakeCallers = Callable[[Path, Stop], Callers]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """A load, the relay, and a factory of the callers, which takes the folder for their files."""

    load: Load
    relay_url: str
    relay_token: str
    relay_authority: TrustedAuthority | None
    make_callers: MakeCallers


def add_load_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the `load` command. Returns its parser."""
    parser = commands.add_parser(
        "load",
        help="a constant load for some time, with a report, a chart, and an exit code by the SLA",
        description=(
            "Exit code 0: Met, and every call went as planned; 1: Violated, or calls are missing; 2: invalid options; "
            "3: nothing was measured. Environment: RELAY_TOKEN or RELAY_TOKEN_FILE for the relay's token, "
            "RELAY_CA_FILE and RELAY_TLS_NAME for a relay with TLS, ARI_USER and ARI_PASS or ARI_PASS_FILE for the "
            "user of --callers ari, and of the stand-in with --relay-url."
        ),
    )
    plan = parser.add_argument_group("the load")
    plan.add_argument("--concurrent", type=calls(1), default=100, help="concurrent calls (default 100)")
    plan.add_argument("--duration", type=seconds, default=300.0, help="duration of the load in seconds (default 300)")
    plan.add_argument("--call-duration", type=seconds, default=30.0, help="length of each call in seconds (default 30)")
    plan.add_argument("--per-second", type=rate, default=10.0, help="calls placed per second (default 10)")
    plan.add_argument("--callers", choices=KINDS, default="stand-in", help="source of the calls (default stand-in)")
    plan.add_argument(
        "--output", type=Path, default=Path("build/load"), help="for report and chart (default build/load)"
    )
    own = parser.add_argument_group(
        "--callers stand-in: starts echo, relay and stand-in on this machine; with --relay-url, the stand-in alone"
    )
    own.add_argument("--port-range", type=port_range, default=PORT_RANGE, help=f"its PORT_RANGE (default {PORT_RANGE})")
    own.add_argument("--http-port", type=port, default=9090, help="the relay's HTTP_PORT (default 9090)")
    own.add_argument("--echo-port", type=port, default=4000, help="the echo's ECHO_PORT (default 4000)")
    own.add_argument("--echo-http-port", type=port, default=9091, help="the echo's HTTP_PORT (default 9091)")
    own.add_argument(
        "--admission",
        choices=("on", "off"),
        default="on",
        help="the relay's ADMISSION; off accepts calls beyond its capacity (default on)",
    )
    real = parser.add_argument_group("--callers ari and sipp: use a running relay and a running Asterisk")
    real.add_argument(
        "--relay-url",
        type=_url,
        help=f"the relay's base URL (default {RELAY_URL}; for --callers stand-in a relay of its own)",
    )
    ari = parser.add_argument_group("--callers ari: Asterisk originates the calls")
    ari.add_argument(
        "--ari-url",
        type=_url,
        help=f"Asterisk's ARI (default {ARI_URL}); with sipp it is searched for orphans; "
        "with stand-in and --relay-url it is served for that relay, which has it as ARI_URL",
    )
    ari.add_argument("--endpoint", help="the called endpoint, such as Local/s@talkers or PJSIP/1000@trunk")
    ari.add_argument("--application", default="rtp-pool", help="the relay's APP_NAME (default rtp-pool)")
    sipp = parser.add_argument_group("--callers sipp: SIPp calls Asterisk")
    sipp.add_argument("--sip-target", help="Asterisk's SIP, host:port")
    sipp.add_argument("--scenario", type=Path, help="an XML scenario (default: the package's)")
    sipp.add_argument("--sipp", type=shlex.split, default=["sipp"], help="the program (default: sipp on the PATH)")
    sipp.add_argument(
        "--sipp-argument",
        action="append",
        default=[],
        metavar="ARGUMENT",
        help="one more argument for SIPp: --sipp-argument=-p",
    )
    return parser


def problems_of(options: argparse.Namespace) -> list[str]:
    """Return a sentence for each missing or contradictory option."""
    problems = list(_plan(options).problems())
    if options.callers == "stand-in" and options.ari_url:
        problems += _stand_in_problems(options)
    if options.callers == "ari" and not options.endpoint:
        problems.append("--callers ari requires --endpoint, such as Local/s@talkers")
    if options.callers == "sipp" and not options.sip_target:
        problems.append("--callers sipp requires --sip-target, such as 127.0.0.1:5060")
    if not options.sipp:
        problems.append("--sipp is empty; accepted is a program")
    return problems


def load_options(options: argparse.Namespace) -> LoadOptions:
    """Convert valid options, and read the secrets of the environment.

    Raises:
        SettingsError: a secret is missing or can't be read.
    """
    environment = Environment(os.environ)
    token = environment.secret("RELAY_TOKEN")
    authority = environment.trusted_authority("RELAY_CA_FILE", "RELAY_TLS_NAME")
    environment.finish()
    plan, relay_url = _plan(options), options.relay_url or RELAY_URL
    load = Load(plan, options.output)
    if options.callers == "stand-in" and options.relay_url:
        relay = RunningRelay(_stand_in_address(options.ari_url or ARI_URL), options.application)
        return LoadOptions(
            load, relay_url, token, authority, lambda folder, stop: StandInCallers(plan, relay, folder, stop)
        )
    if options.callers == "stand-in":
        http_port, echo_http_port, admission = options.http_port, options.echo_http_port, options.admission
        system = LocalSystem(http_port, echo_http_port, options.port_range, options.echo_port, admission)
        return LoadOptions(
            load, system.address, "", None, lambda folder, stop: StandInCallers(plan, system, folder, stop)
        )
    if options.callers == "ari":
        ari = AriCallers(plan, _asterisk(options.ari_url or ARI_URL), options.endpoint, options.application)
        return LoadOptions(load, relay_url, token, authority, lambda _folder, _stop: ari)
    sipp = SippSettings(options.sip_target, options.scenario, tuple(options.sipp), tuple(options.sipp_argument))
    asterisk = _asterisk(options.ari_url) if options.ari_url else None
    return LoadOptions(
        load, relay_url, token, authority, lambda folder, _stop: SippCallers(plan, sipp, folder, asterisk)
    )


def _stand_in_problems(options: argparse.Namespace) -> list[str]:
    parts = urlsplit(options.ari_url)
    if not options.relay_url:
        return ["--ari-url with --callers stand-in requires --relay-url; without it, the stand-in selects a port"]
    if parts.scheme != "http" or parts.port is None or parts.path.rstrip("/") != "/ari":
        return [f"--ari-url {options.ari_url}: the stand-in serves http://ADDRESS:PORT/ari"]
    return []


def _stand_in_address(url: str) -> StandInAddress:
    user, password = read_credentials()
    parts = urlsplit(url)
    return StandInAddress(parts.port or 0, password, parts.hostname or LOOPBACK, user)


def _asterisk(url: str) -> AsteriskClient:
    return AsteriskClient(url, *read_credentials())


def _plan(options: argparse.Namespace) -> LoadPlan:
    return LoadPlan(options.concurrent, options.per_second, options.duration, options.call_duration)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"{text!r}; accepted is http:// or https:// with host and port")
    if parts.username is not None or parts.password is not None or parts.query:
        raise argparse.ArgumentTypeError("it has a user or a query; secrets are read from the environment only")
    return text
