"""The files of the echo's compiled functions and all their imports from our packages; a test compares them."""

from __future__ import annotations

from pathlib import Path

from rtppool_core.compiled.sources import CORE, KIT, Sources

SOURCES: Sources = {
    Path(__file__).parent.parent: (
        "messages/ancillary", "messages/answer_ancillary", "messages/datagram_memory",
        "reflector/batch", "reflector/compiled", "reflector/entry_points", "reflector/extension", "reflector/memory",
        "reflector/sources", "reflector/system_calls",
        "rules/rate_limit", "rules/received_counts", "rules/recent_answers", "rules/refusals", "rules/sender_limits",
        "rules/sender_table", "rules/source_rules", "socket_name", "workers/counters",
    ),
    CORE: (
        *KIT, "compiled/library", "contract/codec", "contract/port_range",
        "net/udp", "rtp/echo_extension", "rtp/header", "units",
    ),
}  # fmt: skip
