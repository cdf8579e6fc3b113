from __future__ import annotations

import pytest

from rtppool_core.net.hosts import MAX_HOST_CHARACTERS, host_problem

LABEL = "x" * 63


@pytest.mark.parametrize(
    "host",
    [
        "echo",
        "echo.example.",
        "192.0.2.1",
        "2001:db8::1",
        "fe80::1%eth0",
        "bücher.example",
        f"{LABEL}.example",
        "a_b-c",
    ],
)
def test_addresses_and_names_are_accepted(host: str) -> None:
    assert host_problem(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a",
        f"{LABEL}x.example",
        f"example.{LABEL}x",
        "\ud800",
        "a\0b",
        "a b",
        "a\n",
        "\u200b",
        "ü" * 63,
        "x." * 200,
    ],
)
def test_hosts_that_cannot_be_encoded_have_a_problem(host: str) -> None:
    assert host_problem(host) is not None


def test_the_length_of_a_name_has_a_bound() -> None:
    longest = ".".join([LABEL] * 4)[:MAX_HOST_CHARACTERS]
    assert host_problem(longest) is None
    assert host_problem(longest + "x") is not None
