"""Reasons to refuse a datagram: the values of the metric label `reason`."""

from __future__ import annotations

from rtppool_core.rtp import header as rtp

REASON_OWN_PORT = "own_port"
REASON_PRIVILEGED_PORT = "privileged_port"
REASON_REFLECTOR_PORT = "reflector_port"
REASON_SOURCE_ADDRESS = "source_address"
REASON_NOT_ALLOWED = "not_allowed"
REASON_RATE = "rate"
REASON_ADDRESS_RATE = "address_rate"
REASON_TABLE_FULL = "table_full"
REASON_DESTINATION = "destination"
REASON_HOP_LIMIT = "hop_limit"
REASON_REPEATED = "repeated"
REASON_SEND_FULL = "send_full"
REASON_SEND_ERROR = "send_error"
# The first of them are the defects of a header, in the order of `rtp.defect_at`.
REASONS = (
    *rtp.REASONS,
    REASON_OWN_PORT,
    REASON_PRIVILEGED_PORT,
    REASON_REFLECTOR_PORT,
    REASON_SOURCE_ADDRESS,
    REASON_NOT_ALLOWED,
    REASON_RATE,
    REASON_ADDRESS_RATE,
    REASON_TABLE_FULL,
    REASON_DESTINATION,
    REASON_HOP_LIMIT,
    REASON_REPEATED,
    REASON_SEND_FULL,
    REASON_SEND_ERROR,
)
# Compiled rules return the place of a reason, or this.
NOT_REFUSED = -1


def place_of(reason: str) -> int:
    """Return the place of a reason in `REASONS`."""
    return REASONS.index(reason)
