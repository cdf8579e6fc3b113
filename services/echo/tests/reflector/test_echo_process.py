from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rtppool_echo.reflector.process import raise_if_broken


def test_a_broken_socket_is_an_error_and_one_without_datagrams_is_none() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        raise_if_broken(sock)
        with Path(os.devnull).open("rb") as no_socket:
            os.dup2(no_socket.fileno(), sock.fileno())
        with pytest.raises(OSError, match="Socket operation on non-socket"):
            raise_if_broken(sock)
