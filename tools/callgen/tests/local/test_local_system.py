"""Echo and relay of `make run` beside another program on their HTTP ports."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtppool_callgen.local.processes import ChildFailed
from rtppool_callgen.local.system import LOOPBACK, LocalSystem, new_stand_in_address, start_services
from rtppool_testing.ports import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server((LOOPBACK, 0)) as other:
        yield int(other.getsockname()[1])


@pytest.mark.parametrize(
    ("part", "option"), [("relay", "--http-port"), ("echo", "--echo-http-port")], ids=["relay", "echo"]
)
def test_another_program_on_an_http_port_is_not_taken_for_ours(
    taken: int, part: str, option: str, tmp_path: Path
) -> None:
    ports = (taken, free_port()) if part == "relay" else (free_port(), taken)
    with pytest.raises(ChildFailed, match=rf"TCP port {taken} of .*, for HTTP of the {part}, .*; {option} chooses"):
        start_services(LocalSystem(*ports), new_stand_in_address(), tmp_path)
    assert not list(tmp_path.iterdir()), "nothing was started"
