"""Whether the limit of open files is enough for the ports.

A call has two sockets, and a third while it moves to another echo.
"""

from __future__ import annotations

import resource

DESCRIPTORS_PER_CALL = 3
OTHER_DESCRIPTORS = 128


def descriptor_shortage(limit: int, ports: int) -> str | None:
    """Return a sentence where the limit is too low for a call on each of that many ports, else None."""
    needed = ports * DESCRIPTORS_PER_CALL + OTHER_DESCRIPTORS
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return None
    enough_for = max(0, limit - OTHER_DESCRIPTORS) // DESCRIPTORS_PER_CALL
    return (
        f"the limit of open files is {limit}: enough for {enough_for} of {ports} ports; "
        f"raise it to {needed} (ulimit -n, LimitNOFILE, or the container runtime's default)"
    )
