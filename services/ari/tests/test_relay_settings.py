from __future__ import annotations

from pathlib import Path

import pytest

from rtppool_core.contract.pools_file import EchoTarget
from rtppool_core.net.listeners import any_address
from rtppool_core.process.settings import SettingsError
from rtppool_relay.caller_numbers import CallerNumbers
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


def test_callers_numbers_are_masked_unless_the_setting_says_otherwise() -> None:
    assert read_settings({}).caller_numbers == CallerNumbers("masked")
    assert read_settings({"CALLER_NUMBERS": "Plain"}).caller_numbers == CallerNumbers("plain")


def test_hashes_of_callers_numbers_have_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a key of 16 byte\n")
    settings = read_settings({"CALLER_NUMBERS": "hashed", "CALLER_HASH_KEY_FILE": str(tmp_path / "key")})
    assert settings.caller_numbers == CallerNumbers("hashed", b"a key of 16 byte")
    assert "a key of 16 byte" not in repr(settings)


@pytest.mark.parametrize("key", ["", "fifteen letters"])
def test_hashes_of_callers_numbers_without_a_long_key_are_rejected(key: str) -> None:
    (problem,) = problems_of(CALLER_NUMBERS="hashed", CALLER_HASH_KEY=key)
    assert problem.startswith(f"CALLER_NUMBERS=hashed: CALLER_HASH_KEY has {len(key)} bytes; accepted are 16 or more")
    assert not key or key not in problem


def test_a_relay_may_have_an_application_of_its_own_node() -> None:
    variables = {"APP_NAME": "voice", "NODE_NAME": "worker-1"}
    assert read_settings(variables).application == "voice"
    assert read_settings(variables | {"APP_PER_NODE": "true"}).application == "voice-worker-1"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "\udcff", "a b"])
def test_a_host_that_cannot_be_encoded_is_one_sentence(host: str) -> None:
    (problem,) = problems_of(ECHO_HOST=host)
    assert problem.startswith("ECHO_HOST=")
    assert "accepted" in problem
    (problem,) = problems_of(ARI_URL=f"http://{host}:8088/ari")
    assert problem.startswith("ARI_URL")
    assert "accepted" in problem


@pytest.mark.parametrize("name", ["NODE_NAME", "APP_NAME", "ARI_USER", "ARI_PASS", "ADVERTISE_IP"])
def test_a_variable_that_is_not_utf8_is_a_sentence(name: str) -> None:
    assert any(problem.startswith(name) for problem in problems_of(**{name: "a\udcff"}))


def test_a_colon_in_the_user_is_one_sentence() -> None:
    (problem,) = problems_of(ARI_USER="rel:ay", ARI_PASS="s3cret")
    assert problem.startswith("ARI_USER=rel:ay: has a colon")
    assert "s3cret" not in problem


def test_user_and_password_come_from_files(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("relay\n")
    password.write_text("s3cret\n")
    settings = read_settings({"ARI_USER_FILE": str(user), "ARI_PASS_FILE": str(password)})
    assert (settings.ari_user, settings.ari_password) == ("relay", "s3cret")
    assert (settings.ari_user_file, settings.ari_password_file) == (user, password)
    user.write_text("rel:ay")
    (problem,) = problems_of(ARI_USER_FILE=str(user), ARI_PASS_FILE=str(password))
    assert "colon" in problem
    (problem,) = problems_of(ARI_USER_FILE=str(tmp_path / "absent"), ARI_PASS_FILE=str(password))
    assert "can't be read" in problem


def test_http_listens_for_both_families_by_default_and_on_the_address_that_is_set() -> None:
    assert read_settings({}).http_bind == (any_address(),)
    assert read_settings({"HTTP_BIND": "0.0.0.0"}).http_bind == ("0.0.0.0",)


@pytest.mark.parametrize("node", ["10.0.0.5", "fd00::1", "2001:db8::10"])
@pytest.mark.parametrize("written", ["$(NODE_IP)", "[$(NODE_IP)]", "{}", "[{}]"])
@pytest.mark.parametrize("rest", [":8088/ari", "/ari", ""])
def test_the_nodes_address_stands_in_the_url_with_brackets_where_it_is_ipv6(node: str, written: str, rest: str) -> None:
    host = f"[{node}]" if ":" in node else node
    settings = read_settings({"NODE_IP": node, "ARI_URL": f"http://{written.format(node)}{rest}"})
    assert settings.ari_url == f"http://{host}{rest}"


@pytest.mark.parametrize("url", ["http://[fd00::12]:8088/ari", "http://pbx:8088/fd00::1", "http://10.0.0.1/ari"])
def test_a_url_with_another_host_than_the_nodes_is_not_changed(url: str) -> None:
    assert read_settings({"NODE_IP": "fd00::1", "ARI_URL": url}).ari_url == url


@pytest.mark.parametrize(
    "variables",
    [{"NODE_IP": "10.0.0.5", "ARI_URL": "http://$(NODEIP):8088/ari"}, {"ARI_URL": "http://$(NODE_IP):8088/ari"}],
)
def test_a_variable_in_the_url_that_is_not_set_is_reported(variables: dict[str, str]) -> None:
    (problem,) = problems_of(**variables)
    assert problem == (
        f"ARI_URL={variables['ARI_URL']}: names a variable that is not set; accepted is a URL without variables, or "
        "with $(NODE_IP) where NODE_IP is the node's address"
    )


def test_http_and_calls_ports_are_bound_at_the_nodes_address() -> None:
    variables = {"NODE_IP": "fd00::1", "BIND_IP": "$(NODE_IP)", "HTTP_BIND": "$(NODE_IP),localhost"}
    settings = read_settings(variables)
    assert (settings.bind_ip, settings.http_bind) == ("fd00::1", ("fd00::1", "::1"))
