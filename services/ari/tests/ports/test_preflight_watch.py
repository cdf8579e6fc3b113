from __future__ import annotations

import resource
from pathlib import Path

import pytest

from rtppool_relay.media.port_sockets import RECEIVE_BUFFER_BYTES, bind_pair
from rtppool_relay.ports.preflight_watch import EPHEMERAL, RECEIVE_BUFFER_LIMIT, RESERVED, parse_ports, read_host_facts
from rtppool_testing.allocations import allocated
from rtppool_testing.descriptors import no_free_descriptor

MAX_ALLOCATED_BYTES = 128 << 10


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for name, text in (
        (EPHEMERAL, "32768\t60999\n"),
        (RESERVED, "8080,9148-9150\n"),
        (RECEIVE_BUFFER_LIMIT, "212992\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_kernels_settings_are_read(proc: Path) -> None:
    facts = read_host_facts(in_cluster=False, proc=proc)
    assert facts.ephemeral == (32768, 60999)
    assert facts.reserved == {8080, 9148, 9149, 9150}
    assert facts.receive_buffer_limit_bytes == 212992
    assert facts.unread == ()


@pytest.mark.parametrize("name", [EPHEMERAL, RESERVED, RECEIVE_BUFFER_LIMIT])
def test_a_file_that_is_not_there_is_said_by_name(proc: Path, name: str) -> None:
    (proc / name).unlink()
    (sentence,) = read_host_facts(in_cluster=False, proc=proc).unread
    assert sentence.startswith(f"{proc / name} could not be read (No such file or directory): ")


@pytest.mark.parametrize("name", [EPHEMERAL, RESERVED, RECEIVE_BUFFER_LIMIT])
def test_a_file_with_something_else_in_it_is_not_trusted(proc: Path, name: str) -> None:
    (proc / name).write_text("many\n")
    facts = read_host_facts(in_cluster=False, proc=proc)
    assert None in {facts.ephemeral, facts.reserved, facts.receive_buffer_limit_bytes}
    assert "holds something else than expected" in facts.unread[0]


def test_no_reserved_ports_is_an_empty_line() -> None:
    assert parse_ports("\n") == frozenset()


def test_the_buffer_is_what_a_calls_sockets_get() -> None:
    facts = read_host_facts(in_cluster=False)
    pair = bind_pair("127.0.0.1", 0, 46)
    got = pair.echo.getsockopt(1, 8) // 2  # SOL_SOCKET, SO_RCVBUF
    pair.close()
    assert facts.receive_buffer_bytes == got
    assert facts.receive_buffer_asked_bytes == RECEIVE_BUFFER_BYTES


def test_the_limit_of_files_is_this_processes() -> None:
    assert read_host_facts(in_cluster=True).file_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_facts_that_can_not_be_read_for_want_of_descriptors_are_unread_with_the_remedy() -> None:
    with no_free_descriptor():
        facts = read_host_facts(in_cluster=False)
    assert (facts.ephemeral, facts.reserved, facts.receive_buffer_bytes) == (None, None, None)
    assert len(facts.unread) == 4
    assert "Too many open files: raise the limit of open files" in facts.unread[3]


def test_facts_that_can_not_be_read_for_want_of_memory_are_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("rtppool_relay.ports.preflight_watch.socket.socket", refuse)
    facts = read_host_facts(in_cluster=False)
    assert (facts.receive_buffer_bytes, len(facts.unread)) == (None, 1)


def test_reading_the_facts_allocates_no_large_block() -> None:
    with allocated() as measured:
        read_host_facts(in_cluster=False)
    assert measured.peak_bytes < MAX_ALLOCATED_BYTES
