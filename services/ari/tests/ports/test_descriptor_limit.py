from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from rtppool_relay.ports.descriptor_limit import descriptor_shortage, raise_descriptor_limit


@pytest.fixture
def low_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("low_limit")
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    limit = raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limit, limit)
    assert limit > 256


def test_a_limit_that_carries_the_range_says_nothing() -> None:
    assert descriptor_shortage(1024, 101) is None
    assert descriptor_shortage(resource.RLIM_INFINITY, 4096) is None


def test_a_limit_that_does_not_says_how_many_ports_it_carries_and_what_to_do() -> None:
    sentence = descriptor_shortage(1024, 4096)
    assert sentence is not None
    assert "298 of 4096 ports" in sentence
    assert "12416" in sentence
