"""Commands of the control process, on a real command socket, without the loop around them."""

from __future__ import annotations

import json
import mmap
import socket

import pytest
from packet_line import Line

from rtppool_relay.media.launch import command_sockets
from rtppool_relay.media.rows import SLOT_BYTES, SLOTS
from rtppool_relay.packets.process import MediaLoop


def test_a_socket_beyond_a_media_process_s_memory_is_refused_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtppool_relay.packets.attach.DESCRIPTORS", 1)
    ours, theirs = command_sockets()
    line = Line()
    with ours, theirs:
        loop = MediaLoop(theirs, memoryview(mmap.mmap(-1, SLOTS * SLOT_BYTES)))
        command = {"do": "add", "id": 7, "slot": 1, "peer": line.asterisk.getsockname(), "tos": 0, "extend": False}
        socket.send_fds(ours, [json.dumps(command).encode()], [line.pair.asterisk.fileno(), line.pair.echo.fileno()])
        loop._on_command()
        answer = json.loads(ours.recv(4096))
    assert answer["id"] == 7
    assert "is beyond 0" in answer["error"]
    line.close()
