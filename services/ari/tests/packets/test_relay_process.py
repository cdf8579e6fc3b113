"""Commands of the control process, on a real command socket, without the loop around them."""

from __future__ import annotations

import errno
import json
import mmap
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packet_line import Line

from rtppool_relay.media.launch import command_sockets
from rtppool_relay.media.sizes import SLOT_BYTES, SLOTS
from rtppool_relay.packets.process import MediaLoop
from rtppool_testing.descriptors import no_free_descriptor
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import received


class Commanded:
    """A media process's commands without its loop, and one bound port."""

    def __init__(self) -> None:
        self.line = Line()
        self.ours, self.theirs = command_sockets()
        self.loop = MediaLoop(self.theirs, memoryview(mmap.mmap(-1, SLOTS * SLOT_BYTES)))

    def send(self, command: object, *sockets: socket.socket) -> None:
        message = command if isinstance(command, bytes) else json.dumps(command).encode()
        socket.send_fds(self.ours, [message], [sock.fileno() for sock in sockets])
        self.loop._on_command()

    def answer(self, command: object, *sockets: socket.socket) -> dict[str, Any]:
        self.send(command, *sockets)
        found: dict[str, Any] = json.loads(self.ours.recv(4096))
        return found

    def add(self, slot: int = 1, **changed: object) -> dict[str, Any]:
        peer = self.line.asterisk.getsockname()
        command = {"do": "add", "id": 7, "slot": slot, "peer": peer, "tos": 0, "extend": False, **changed}
        return self.answer(command, self.line.pair.asterisk, self.line.pair.echo)

    def held(self) -> str:
        return str(self.answer({"do": "ping", "id": 1})["slots"])


@pytest.fixture
def commanded() -> Iterator[Commanded]:
    one = Commanded()
    yield one
    one.line.close()
    one.ours.close()
    one.theirs.close()
    for sockets in one.loop._sockets.values():
        for sock in sockets:
            sock.close()
    one.loop._poller.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_socket_beyond_a_media_process_s_memory_is_refused_and_ends_nothing(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtppool_relay.packets.attach.DESCRIPTORS", 1)
    answer = commanded.add()
    assert answer["id"] == 7
    assert "is beyond 0" in answer["error"]


def test_the_answer_has_the_slots_that_the_process_holds(commanded: Commanded) -> None:
    assert commanded.held() == "0"
    assert commanded.add(slot=5)["slots"] == f"{1 << 5:x}"
    assert commanded.held() == f"{1 << 5:x}"
    assert commanded.answer({"do": "remove", "id": 2, "slot": 5})["slots"] == "0"


@pytest.mark.parametrize(
    "changed",
    [
        {"peer": ["localhost", 4000]},
        {"peer": ["127.1", 4000]},
        {"peer": ["fe80::1%lo", 4000]},
        {"peer": ["::1", 4000]},
        {"peer": ["127.0.0.1", 0]},
        {"peer": ["127.0.0.1", 65536]},
        {"peer": ["127.0.0.1", True]},
        {"peer": 5},
        {"peer": None},
        {"tos": "high"},
        {"tos": 1 << 70},
        {"tos": 256},
        {"tos": -1},
        {"slot": -1},
        {"slot": SLOTS},
        {"slot": "1"},
        {"slot": None},
        {"slot": True},
        {"do": "dance"},
        {"do": ["add"]},
        {"do": None},
        {"do": "ping"},
        {"do": "remove"},
        {"do": "echo"},
        {"do": "forget_old_echo"},
    ],
)
def test_a_command_that_can_not_be_carried_out_is_an_error_to_its_sender(
    commanded: Commanded, changed: dict[str, object]
) -> None:
    commanded.add(slot=2)
    before = open_descriptors()
    answer = commanded.add(**changed)
    assert answer["id"] == 7
    assert answer["error"]
    assert open_descriptors() == before
    assert commanded.held() == f"{1 << 2:x}"


@pytest.mark.parametrize("message", [b"{", b"[]", b"7", b'{"do": "ping"}', b"[" * 4096, b"\xff", b"x" * 9000])
def test_a_message_that_is_no_command_is_an_error_to_its_sender(commanded: Commanded, message: bytes) -> None:
    answer = commanded.answer(message)
    assert answer["id"] is None
    assert answer["error"]
    assert commanded.loop._running


@pytest.mark.parametrize("sockets", [0, 1, 3])
def test_another_number_of_descriptors_is_an_error_and_none_stays_open(commanded: Commanded, sockets: int) -> None:
    pair = commanded.line.pair
    before = open_descriptors()
    command = {"do": "add", "id": 7, "slot": 1, "peer": ["127.0.0.1", 4000], "tos": 0, "extend": False}
    answer = commanded.answer(command, *[pair.asterisk, pair.echo, pair.echo][:sockets])
    assert f"came with {sockets} descriptors instead of 2" in answer["error"]
    assert open_descriptors() == before


def test_a_descriptor_that_is_no_socket_is_an_error_and_does_not_stay_open(commanded: Commanded) -> None:
    reading, writing = os.pipe()
    before = open_descriptors()
    message = json.dumps({"do": "echo", "id": 7, "slot": 1}).encode()
    socket.send_fds(commanded.ours, [message], [reading])
    commanded.loop._on_command()
    assert "OSError" in json.loads(commanded.ours.recv(4096))["error"]
    assert open_descriptors() == before
    os.close(reading)
    os.close(writing)


def test_without_descriptors_an_add_is_an_error_with_the_remedy_and_live_calls_go_on(commanded: Commanded) -> None:
    commanded.add(slot=2)
    with no_free_descriptor():
        answer = commanded.add(slot=3)
    assert "is the limit of open files too low" in answer["error"]
    assert commanded.held() == f"{1 << 2:x}"


def test_a_failed_watch_undoes_the_add(commanded: Commanded, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def register(self, _descriptor: int, _events: int) -> None:
            raise OSError(errno.ENOSPC, "x")

        def unregister(self, _descriptor: int) -> None:
            raise OSError(errno.ENOENT, "x")

    before = open_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(commanded.loop, "_poller", Full())
        assert commanded.add()["error"].startswith("OSError")
    assert (open_descriptors(), commanded.held()) == (before, "0")


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.ENOBUFS, errno.EMFILE])
def test_a_receive_that_fails_for_want_of_memory_leaves_the_process_running(
    commanded: Commanded, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(number, "x")

    with monkeypatch.context() as patch:
        patch.setattr("rtppool_relay.packets.process.socket.recv_fds", refuse)
        commanded.loop._on_command()
    assert commanded.loop._running
    assert commanded.held() == "0"


def test_an_answer_that_can_not_be_sent_ends_nothing(commanded: Commanded) -> None:
    commanded.ours.send(json.dumps({"do": "ping", "id": 1}).encode())
    commanded.theirs.shutdown(socket.SHUT_WR)
    commanded.loop._on_command()
    assert commanded.loop._running


def test_the_end_of_the_command_socket_ends_the_process(commanded: Commanded) -> None:
    commanded.ours.close()
    commanded.loop._on_command()
    assert not commanded.loop._running


def test_the_removed_port_can_be_bound_again(commanded: Commanded) -> None:
    commanded.add()
    port = commanded.line.pair.port
    commanded.line.pair.close()
    commanded.answer({"do": "remove", "id": 2, "slot": 1})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))


def test_a_second_add_of_a_slot_goes_on_with_its_packets(commanded: Commanded) -> None:
    line = commanded.line
    line.pair.asterisk.connect(line.asterisk.getsockname())
    for sequence in (1, 2):
        assert commanded.add()["error"] is None
        line.asterisk.sendto(rtp_packet(sequence), line.address)
        assert select.select([line.pair.asterisk], [], [], 10)[0]
    assert commanded.add()["error"] is None
    assert [received(line.echo), received(line.echo)] == [rtp_packet(1), rtp_packet(2)]
