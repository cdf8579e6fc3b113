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
