from __future__ import annotations

import pytest

from rtppool_core.net.listeners import any_address
from rtppool_core.process.settings import SettingsError
from rtppool_echo.settings import Settings, read_settings


def test_no_environment_gives_the_documented_defaults() -> None:
    assert read_settings({}) == Settings()


def test_all_bad_settings_are_said_at_once_with_name_value_and_what_is_accepted() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(
            {
                "ECHO_PORT": "70000",
                "ECHO_BIND": "localhost",
                "DSCP": "64",
                "ECHO_WORKERS": "0",
                "ECHO_ALLOW": "10.0.0.1/8",
                "ECHO_RATE": "-1",
                "ECHO_RATE_PER_ADDRESS": "1000001",
                "ECHO_RTP_ONLY": "perhaps",
                "HTTP_PORT": "x",
                "LOG_LEVEL": "LOUD",
            }
        )
    assert caught.value.problems == (
        "ECHO_BIND=localhost: accepted is an IPv4 or IPv6 address",
        "ECHO_PORT=70000: accepted is a whole number from 1 to 65535",
        "DSCP=64: accepted is a whole number from 0 to 63",
        "ECHO_WORKERS=0: accepted is a whole number from 1 to 64",
        "ECHO_ALLOW=10.0.0.1/8: accepted is networks such as 10.0.0.0/8, separated by commas, host bits zero",
        "ECHO_RATE=-1: accepted is a whole number from 0 to 1000000",
        "ECHO_RATE_PER_ADDRESS=1000001: accepted is a whole number from 0 to 1000000",
        "ECHO_RTP_ONLY=perhaps: accepted is one of true, false",
        "HTTP_PORT=x: accepted is a whole number from 1 to 65535",
        "LOG_LEVEL=LOUD: accepted is one of DEBUG, INFO, WARNING, ERROR",
    )


def test_http_listens_for_both_families_by_default_and_on_the_address_that_is_set() -> None:
    assert read_settings({}).http_bind == (any_address(),)
    assert read_settings({"HTTP_BIND": "0.0.0.0"}).http_bind == ("0.0.0.0",)


@pytest.mark.parametrize(
    ("node", "bind", "bound"),
    [
        ("10.0.0.5", "0.0.0.0", "0.0.0.0"),
        ("fd00::1", "0.0.0.0", "::"),
        ("fd00::1", "", "::"),
        ("fd00::1", "$(NODE_IP)", "fd00::1"),
        ("fd00::1", "127.0.0.1", "127.0.0.1"),
        ("", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_the_echo_of_a_node_with_an_ipv6_address_listens_on_ipv6(node: str, bind: str, bound: str) -> None:
    assert read_settings({"NODE_IP": node, "ECHO_BIND": bind}).echo_bind == bound
