from __future__ import annotations

import pytest

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_core.process.settings import SettingsError
from rtppool_relay.settings import read_settings


def test_the_header_extension_is_off_by_default() -> None:
    assert read_settings({}).echo == EchoTarget("127.0.0.1", 4000, extension=False)


@pytest.mark.parametrize(("text", "asked"), [("true", True), ("TRUE", True), ("false", False), ("", False)])
def test_the_header_extension_is_switched_by_true_or_false(text: str, asked: bool) -> None:
    assert read_settings({"ECHO_EXTENSION": text}).echo.extension is asked


def test_a_value_other_than_true_or_false_is_rejected_with_the_accepted_values() -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({"ECHO_EXTENSION": "1"})
    assert caught.value.problems == ("ECHO_EXTENSION=1: accepted is one of true, false",)


def problems_of(**variables: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_settings(variables)
    return caught.value.problems


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:s3cret@pbx:8088/ari", "http://…@pbx:8088/ari"),
        ("http://pbx:8088/ari?api_key=user:s3cret", "http://pbx:8088/ari?…"),
        ("http://pbx:8088/ari?api_key=user:s3cr@3t", "http://…"),
        ("http://pbx:8088/ari#s3cret", "http://pbx:8088/ari?…"),
        ("http://pbx:8088/ari?", "http://pbx:8088/ari?…"),
        ("http://:s3cret@pbx:8088/ari", "http://…@pbx:8088/ari"),
        ("http://user:s3?cret@pbx:8088/ari", "http://…"),
    ],
)
def test_a_secret_in_the_ari_url_is_rejected_and_not_shown(url: str, shown: str) -> None:
    (problem,) = problems_of(ARI_URL=url)
    assert problem.startswith(f"ARI_URL={shown}: ")
    assert "s3" not in problem


@pytest.mark.parametrize("url", ["pbx:8088/ari", "ftp://pbx/ari", "http://[::1/ari", "http://pbx:port/ari", "http://"])
def test_an_invalid_ari_url_is_rejected_with_the_accepted_form(url: str) -> None:
    (problem,) = problems_of(ARI_URL=url)
    assert problem == f"ARI_URL={url}: accepted is http://HOST:8088/ari or https://HOST:8089/ari"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8088/ari", "http://[::1]:8088/ari", "https://pbx.example/ari"])
def test_an_ari_url_may_have_a_name_or_an_address_of_either_family(url: str) -> None:
    settings = read_settings({"ARI_URL": url})
    assert settings.ari_url == url
    assert (settings.ari_tls is not None) == url.startswith("https")


@pytest.mark.parametrize("name", ["a,b", "rtp pool", "${EXTEN}", "a" * 74])
def test_an_application_name_that_asterisk_would_parse_is_rejected(name: str) -> None:
    (problem,) = problems_of(APP_NAME=name)
    assert problem.startswith(f"APP_NAME={name}: accepted are 1 to 73 letters")


@pytest.mark.parametrize("name", ["ADVERTISE_IP", "NODE_IP"])
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1"])
def test_an_address_that_asterisk_cannot_send_to_is_rejected(name: str, address: str) -> None:
    (problem,) = problems_of(**{name: address})
    assert problem.startswith(f"{name}={address}: accepted is an address of this machine (not 0.0.0.0, ::")


def test_a_relay_may_have_an_application_of_its_own_node() -> None:
    variables = {"APP_NAME": "voice", "NODE_NAME": "worker-1"}
    assert read_settings(variables).application == "voice"
    assert read_settings(variables | {"APP_PER_NODE": "true"}).application == "voice-worker-1"
