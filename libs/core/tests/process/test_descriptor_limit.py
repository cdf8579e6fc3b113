from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from rtppool_core.process.descriptor_limit import raise_descriptor_limit


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
