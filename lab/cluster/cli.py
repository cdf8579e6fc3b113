"""The verbs of `python -m lab.cluster`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from lab.base.errors import LabError
from lab.base.turns import hold_lock
from lab.cluster.kind.shape import MAIN, ONE_NODE
from lab.cluster.programs.builds import VERSIONS
from lab.cluster.tooling import Tooling, make_tooling

INTERRUPTED = 130


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit code. The message of a failure goes to stderr."""
    options = parser().parse_args(arguments)
    verb: Callable[[Tooling, argparse.Namespace], None] = options.verb
    try:
        verb(make_tooling(options.family), options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; finished steps are kept, and the same command continues from there", file=sys.stderr)
        return INTERRUPTED
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    top = argparse.ArgumentParser(
        prog="python -m lab.cluster",
        description="A kind cluster with the product on it. Missing parts are made and kept in "
        "${RTPPOOL_CACHE:-~/.cache/rtp-pool}.",
        epilog="KUBE_CONTEXT names another cluster to use.",
    )
    top.add_argument(
        "--family",
        choices=[MAIN.family, *ONE_NODE],
        default=MAIN.family,
        help="ipv6 or dual: a cluster of one node with addresses of that family, beside the one of `make up`",
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _verb(verbs, "up", "engine, programs, images, cluster, product; safe to run again", alone(Tooling.up))
    _verb(verbs, "down", "delete the cluster; images and programs are kept", alone(Tooling.down))
    _verb(verbs, "status", "show the engine, the cluster and the product", lambda t, _: t.status())
    _verb(verbs, "engine", "start a Docker engine unless one runs", alone(Tooling.engine_up))
    _verb(
        verbs,
        "images",
        "build the product's and the test images, and load them into the nodes",
        alone(Tooling.images),
    )
    _verb(
        verbs,
        "phones",
        "unpack Asterisk, SIPp and baresip as folders that run without a container (root); print the folder",
        alone(Tooling.phones),
    )
    _verb(
        verbs,
        "edits",
        "edit a Python file of each component, make it live as `skaffold dev` does, and print the times",
        alone(Tooling.edits),
    )
    _verb(
        verbs,
        "handovers",
        "restart the relays twenty times under a call of a real Asterisk, and print the gaps of the call",
        alone(Tooling.handovers),
    )
    _verb(
        verbs,
        "env",
        'print shell lines that make kubectl use the cluster: eval "$(... env)"',
        lambda t, _: t.print_environment(),
    )
    program = _verb(
        verbs, "program", "print the path of a program, after fetching or building it", lambda t, o: t.program(o.name)
    )
    program.add_argument("name", metavar="NAME", choices=sorted(VERSIONS), help=", ".join(sorted(VERSIONS)))
    return top


def alone(act: Callable[[Tooling], None]) -> Callable[[Tooling, argparse.Namespace], None]:
    """Make a verb that changes something wait for its turn."""

    def in_turn(tooling: Tooling, _: argparse.Namespace) -> None:
        with hold_lock(tooling.places.lock, tooling.steps.say):
            act(tooling)

    return in_turn


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    meaning: str,
    run: Callable[[Tooling, argparse.Namespace], None],
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=meaning, description=meaning)
    verb.set_defaults(verb=run)
    return verb
