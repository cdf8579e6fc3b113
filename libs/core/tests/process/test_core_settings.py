from __future__ import annotations

from pathlib import Path

import pytest

from rtppool_core.contract.port_range import PortRange
from rtppool_core.process.settings import Environment, SettingsError


def test_what_is_not_set_or_blank_takes_the_default() -> None:
    env = Environment({"A": "", "B": "  "})
    assert env.text("A", "x") == "x"
    assert env.integer("B", 5, 0, 9) == 5
    assert env.seconds("C", 1.5, 0, 9) == 1.5
    assert env.choice("D", "one", ("one", "two")) == "one"
    assert env.address("E", "0.0.0.0") == "0.0.0.0"
    assert env.usable_address("F") == ""
    assert env.networks("G") == ()
    assert env.port_range("H", "10000-10100") == PortRange(10000, 10100)
    assert env.secret("I") == ""
    env.finish()


def test_what_is_set_is_read() -> None:
    env = Environment(
        {"B": " 7 ", "C": "0.25", "D": "TWO", "E": "2001:0db8::1", "G": "10.0.0.0/8, ::1/128", "H": "20000-20009"}
    )
    assert env.integer("B", 5, 0, 9) == 7
    assert env.seconds("C", 1.5, 0, 9) == 0.25
    assert env.choice("D", "one", ("one", "two")) == "two"
    assert env.usable_address("E") == "2001:db8::1"
    assert [str(network) for network in env.networks("G")] == ["10.0.0.0/8", "::1/128"]
    assert env.port_range("H", "10000-10100") == PortRange(20000, 20009)
    env.finish()


def test_every_mistake_is_reported_at_once_with_name_value_and_what_is_accepted() -> None:
    env = Environment(
        {
            "A": "x",
            "B": "10",
            "C": "nan",
            "D": "three",
            "E": "localhost",
            "F": "224.0.0.1",
            "G": "10.0.0.1/8",
            "H": "abc",
        }
    )
    env.integer("A", 5, 0, 9)
    env.integer("B", 5, 0, 9)
    env.seconds("C", 1, 0, 9)
    env.choice("D", "one", ("one", "two"))
    env.address("E", "0.0.0.0")
    env.usable_address("F")
    env.networks("G")
    env.port_range("H", "10000-10100")
    env.problem("I and J contradict each other")
    with pytest.raises(SettingsError) as caught:
        env.finish()
    assert caught.value.problems == (
        "A=x: accepted is a whole number from 0 to 9",
        "B=10: accepted is a whole number from 0 to 9",
        "C=nan: accepted is seconds, from 0 to 9",
        "D=three: accepted is one of one, two",
        "E=localhost: accepted is an IPv4 or IPv6 address",
        "F=224.0.0.1: accepted is an address of this machine (not 0.0.0.0, :: or multicast)",
        "G=10.0.0.1/8: accepted is networks such as 10.0.0.0/8, separated by commas, host bits zero",
        (
            "H=abc: accepted is FIRST-LAST, two ports from 1024 to 65535, FIRST not above LAST, at most 4096 ports "
            "(for example 10000-10100)"
        ),
        "I and J contradict each other",
    )


def test_a_secret_comes_from_its_file_without_the_final_newline(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    env = Environment({"PASS_FILE": str(file), "PASS": "other"})
    assert env.secret("PASS") == "s3cret"
    env.finish()


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file or directory"), (b"\xff\xfe", "not UTF-8 text")])
def test_a_secret_file_that_can_not_be_read_is_a_problem_without_the_secret(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    env = Environment({"PASS_FILE": str(file), "PASS": "s3cret"})
    assert env.secret("PASS") == ""
    with pytest.raises(SettingsError) as caught:
        env.finish()
    assert caught.value.problems == (
        f"PASS_FILE={file}: can't be read ({reason}); accepted is the path of a readable text file",
    )


def test_a_secret_is_taken_as_it_stands() -> None:
    assert Environment({"PASS": " with blanks "}).secret("PASS") == " with blanks "


@pytest.mark.parametrize(("node", "loopback"), [("192.0.2.1", "127.0.0.1"), ("2001:db8::1", "::1"), ("", "127.0.0.1")])
def test_localhost_is_the_loopback_address_of_the_nodes_family(node: str, loopback: str) -> None:
    env = Environment({"NODE_IP": node, "A": " localhost , 198.51.100.7"})
    assert env.addresses("A", "::") == (loopback, "198.51.100.7")
    assert env.addresses("B", "::") == ("::",)
    env.finish()


@pytest.mark.parametrize("node", ["192.0.2.1", "2001:db8::1"])
def test_a_reference_to_the_nodes_address_is_that_address(node: str) -> None:
    env = Environment({"NODE_IP": node, "A": "$(NODE_IP)", "B": "$(NODE_IP),10.0.0.0/8"})
    assert env.address("A", "0.0.0.0") == node
    assert env.addresses("A", "::") == (node,)
    assert [str(each.network_address) for each in env.networks("B")] == [node, "10.0.0.0"]
    env.finish()


def test_a_reference_to_the_nodes_address_without_one_is_reported_with_the_remedy() -> None:
    env = Environment({"A": "$(NODE_IP)", "B": "127.0.0.1,$(NODE_IP)", "C": "127.0.0.1,,::1", "D": "::1," * 8 + "::1"})
    env.address("A", "0.0.0.0")
    for name in ("B", "C", "D"):
        env.addresses(name, "::")
    with pytest.raises(SettingsError) as caught:
        env.finish()
    many = "accepted is at most 8 IPv4 or IPv6 addresses, or localhost, separated by commas"
    remedy = ", and $(NODE_IP) where NODE_IP is an address"
    assert caught.value.problems == (
        f"A=$(NODE_IP): accepted is an IPv4 or IPv6 address{remedy}",
        f"B=127.0.0.1,$(NODE_IP): {many}{remedy}",
        f"C=127.0.0.1,,::1: {many}",
        f"D={'::1,' * 8}::1: {many}",
    )
