"""For all tests of the tree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import hypothesis
import pytest

from rtppool_testing.lost_exceptions import lost_exceptions

# An example's time depends on the machine's other load. pytest-timeout bounds each test.
hypothesis.settings.register_profile("rtp-pool", deadline=None)
hypothesis.settings.load_profile("rtp-pool")
FULL = "full"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --full."""
    parser.addoption("--full", action="store_true", help="also run the tests that are marked full: the longer run")


def pytest_report_header(config: pytest.Config) -> str:
    """Name the run, because deselected tests are not shown with -n."""
    return "run: the longer one" if config.getoption("--full") else "run: the short one; --full adds tests marked full"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests of the longer run, and report them as deselected, unless --full is given."""
    if config.getoption("--full"):
        return
    left_out = [item for item in items if item.get_closest_marker(FULL)]
    if left_out:
        items[:] = [item for item in items if not item.get_closest_marker(FULL)]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def current_loop() -> Iterator[None]:
    """One current event loop, closed at the end.

    Up to Python 3.11 asking for the current loop makes one; pytest-asyncio asks between tests and leaves it open, and
    an unclosed loop is a warning, thus an error, in whatever test runs when it is collected (pytest-asyncio #724).
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def no_lost_exception() -> Iterator[None]:
    """Fail a test during which the exception of a task, a future or a callback was lost."""
    with lost_exceptions() as lost:
        yield
    if lost:
        pytest.fail("an exception was lost:\n" + "\n".join(lost), pytrace=False)
