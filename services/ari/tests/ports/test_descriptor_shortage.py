from __future__ import annotations

import resource

from rtppool_relay.ports.descriptor_shortage import descriptor_shortage


def test_a_limit_that_carries_the_range_says_nothing() -> None:
    assert descriptor_shortage(1024, 101) is None
    assert descriptor_shortage(resource.RLIM_INFINITY, 4096) is None


def test_a_limit_that_does_not_says_how_many_ports_it_carries_and_what_to_do() -> None:
    sentence = descriptor_shortage(1024, 4096)
    assert sentence is not None
    assert "298 of 4096 ports" in sentence
    assert "12416" in sentence
