"""Tests on a cluster are collected only when they are asked for with --e2e."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --e2e."""
    parser.addoption("--e2e", action="store_true", help="also run the tests on the cluster of `make up`")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/e2e/test_*.py without --e2e; the tooling's own tests below need no cluster and always run."""
    on_cluster = collection_path.parent == HERE and collection_path.name.startswith("test_")
    return True if on_cluster and not config.getoption("--e2e") else None
