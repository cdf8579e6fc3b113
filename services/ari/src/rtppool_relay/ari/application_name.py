"""The names that Stasis applications may have, and the name of a node's own. Pure."""

from __future__ import annotations

import hashlib
import re

# Asterisk refuses a websocket for a longer one (tried with 22.10: «> 73 characters»).
MAX_NAME = 73
# No comma, which ends the name in Stasis() and in /events, and nothing that the dialplan replaces.
_ACCEPTED = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", re.ASCII)
_REFUSED_CHARACTER = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
_DIGEST_CHARACTERS = 8


def is_application_name(name: str) -> bool:
    """Whether Asterisk takes the name as it stands, everywhere that it is used."""
    return _ACCEPTED.fullmatch(name) is not None


def application_of_node(application: str, node_name: str) -> str:
    """`rtp-pool-worker-1`: the application of the relay on a node, for relays that share an Asterisk.

    What is too long ends with a digest of the node's name instead, so that two nodes never have the same.
    """
    name = f"{application}-{_REFUSED_CHARACTER.sub('-', node_name)}"
    if len(name) <= MAX_NAME and name == f"{application}-{node_name}":
        return name
    digest = hashlib.sha256(node_name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{name[: MAX_NAME - _DIGEST_CHARACTERS - 1]}-{digest}"
