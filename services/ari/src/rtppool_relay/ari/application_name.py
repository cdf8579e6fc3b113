"""Names of Stasis applications: the accepted ones, and the name of a node's own application."""

from __future__ import annotations

import hashlib
import re

# Asterisk refuses a websocket for a longer name (tried with 22.10: "> 73 characters").
MAX_NAME = 73
# A comma would end the name in Stasis() and in /events. The dialplan substitutes other special characters.
_ACCEPTED = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", re.ASCII)
_REFUSED_CHARACTER = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
_DIGEST_CHARACTERS = 8


def is_application_name(name: str) -> bool:
    """Return whether Asterisk accepts the name unchanged in all places."""
    return _ACCEPTED.fullmatch(name) is not None


def application_of_node(application: str, node_name: str) -> str:
    """Return the application of the relay on a node, such as `rtp-pool-worker-1`, for relays that share an Asterisk.

    A name that is too long or has other characters ends with a digest of the node's name. So no two nodes share one.
    """
    name = f"{application}-{_REFUSED_CHARACTER.sub('-', node_name)}"
    if len(name) <= MAX_NAME and name == f"{application}-{node_name}":
        return name
    digest = hashlib.sha256(node_name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: MAX_NAME - _DIGEST_CHARACTERS - 1]}-{digest}"
