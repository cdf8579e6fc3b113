"""How many descriptors this process may hold. A call holds two sockets, and a third while it moves to another echo."""

from __future__ import annotations

import resource

DESCRIPTORS_PER_CALL = 3
OTHER_DESCRIPTORS = 128


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, as any process may; media processes inherit it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def too_few_descriptors(limit: int, ports: int) -> str | None:
    """A sentence when a range of that many ports can't be filled with calls; None when it can."""
    needed = ports * DESCRIPTORS_PER_CALL + OTHER_DESCRIPTORS
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return None
    most = max(0, limit - OTHER_DESCRIPTORS) // DESCRIPTORS_PER_CALL
    return (
        f"the limit of open files is {limit}: enough for {most} of {ports} ports; "
        f"raise it to {needed} (ulimit -n, LimitNOFILE, or the container runtime's default)"
    )
