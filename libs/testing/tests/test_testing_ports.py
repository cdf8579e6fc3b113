from __future__ import annotations

import socket

import pytest

from rtppool_testing.ports import BLOCK, FIRST_PORT, _block, free_port, free_range


def test_ports_in_a_row_are_free_and_handed_out_once() -> None:
    first, second = free_range(4), free_range(4)
    assert first.end - first.start == 3
    assert first.end < second.start or second.end < first.start


def test_a_port_that_is_held_is_passed_over() -> None:
    block = _block()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", free_port()))
        held = holder.getsockname()[1]
        assert held not in {free_port() for _ in range(50)}
    assert block.start <= held <= block.end


def test_ports_beside_a_range_do_not_touch_it() -> None:
    range_of_pool = free_range(10)
    other = free_range(10, beside=range_of_pool)
    assert other.end < range_of_pool.start or other.start > range_of_pool.end


def test_each_worker_has_a_block_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    for worker in ("gw0", "gw1", "gw3"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        _block.cache_clear()
        starts.append(_block().start)
    _block.cache_clear()
    assert starts == [FIRST_PORT, FIRST_PORT + BLOCK, FIRST_PORT + 3 * BLOCK]
