"""The number of media processes that a range and a node's processors make sensible."""

from __future__ import annotations

import pytest

from rtppool_relay.media.sizes import media_processes_for


@pytest.mark.parametrize(
    ("ports", "processors", "processes"),
    [
        (101, 2, 1),
        (101, 64, 1),
        (512, 64, 1),
        (513, 64, 2),
        (2_000, 64, 4),
        (2_000, 4, 2),
        (2_000, 1, 1),
        (50_000, 64, 8),
    ],
)
def test_a_process_serves_512_ports_and_needs_two_processors(ports: int, processors: int, processes: int) -> None:
    assert media_processes_for(ports, processors) == processes
