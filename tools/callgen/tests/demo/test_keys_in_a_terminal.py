"""The keys of `make run`, pressed in a pseudo-terminal, and their effect on the table."""

from __future__ import annotations

import os
import signal
import socket
import termios
import time

import pytest
from demo_terminal import ACTIVE, LOST, ROUND_TRIP, Terminal, processes_with, terminal

from rtppool_testing.waiting import until

pytestmark = pytest.mark.timeout(180)
SHOWN_WITHIN_SECONDS = 2.0


def round_trip_ms(shown: Terminal) -> float:
    found = shown.latest(ROUND_TRIP)
    return -1.0 if found is None else found


def serves(http_port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", http_port)) == 0


async def test_the_address_of_the_page_comes_first() -> None:
    async with terminal() as shown:
        assert shown.text.lstrip().startswith(f"live page http://127.0.0.1:{shown.http_port}/ ")


async def test_a_low_and_narrow_terminal_has_all_keys() -> None:
    async with terminal(lines=24, columns=80) as shown:
        shown.raw = ""
        await shown.until(lambda: round_trip_ms(shown) >= 0, "figures")
        words = " ".join(shown.text.split())
        assert "+ call - hang up e stop echo d delay 20 ms l loss 1 % b busy processors q quit" in words


async def test_the_delay_key_adds_20_ms_to_the_round_trip_within_two_seconds_and_takes_them_off_again() -> None:
    async with terminal() as shown:
        waits = []
        for _ in range(3):
            pressed = shown.press("d")
            await shown.until(lambda: 20 <= round_trip_ms(shown) < 100, "a round trip with 20 ms more")
            waits.append(time.monotonic() - pressed)
            assert shown.marks("delay 20 ms")
            pressed = shown.press("d")
            await shown.until(lambda: 0 <= round_trip_ms(shown) < 20, "a round trip without them")
            waits.append(time.monotonic() - pressed)
        # Other tests may hold the processors for a while.
        assert min(waits) <= SHOWN_WITHIN_SECONDS


async def test_the_loss_key_loses_packets_and_its_second_press_none() -> None:
    async with terminal() as shown:
        shown.press("l")
        await shown.until(lambda: (shown.latest(LOST) or 0) > 0, "lost packets")
        shown.press("l")
        await shown.until(lambda: shown.latest(LOST) == 0 and shown.marks("loss 1 %") is False, "no lost packets")


async def test_keys_place_and_hang_up_calls() -> None:
    async with terminal() as shown:
        shown.press("+")
        await shown.until(lambda: shown.latest(ACTIVE) == 4, "one call more")
        for calls in (3, 2, 1, 0):
            shown.press("-")
            await shown.until(lambda calls=calls: shown.latest(ACTIVE) == calls, f"{calls} calls")
        shown.press("-")
        await shown.until(lambda: "no call is left to hang up" in shown.text, "the reason")


async def test_the_echo_can_be_stopped_and_started() -> None:
    async with terminal() as shown:
        shown.press("e")
        await shown.until(lambda: "does not answer" in shown.text, "a silent echo")
        shown.press("e")
        await shown.until(lambda: round_trip_ms(shown) >= 0, "round trips")


async def test_the_processors_can_be_kept_busy_meanwhile_the_table_goes_on() -> None:
    async with terminal() as shown:
        shown.press("b")
        await shown.until(lambda: shown.marks("busy processors") is True, "the switch is on")
        shown.raw = ""
        await shown.until(lambda: round_trip_ms(shown) >= 0, "figures")
        shown.press("b")
        await shown.until(lambda: shown.marks("busy processors") is False, "the switch is off")


async def test_the_quit_key_ends_everything_and_leaves_the_terminal_as_it_was() -> None:
    async with terminal() as shown:
        assert not termios.tcgetattr(shown.descriptor)[3] & termios.ICANON
        shown.press("q")
        await shown.until(lambda: shown.process.poll() == 0, "the end")
        assert termios.tcgetattr(shown.descriptor)[3] & termios.ICANON
        assert not serves(shown.http_port)


@pytest.mark.parametrize("hang_up", [signal.SIG_DFL, signal.SIG_IGN], ids=["signal", "ignored signal"])
async def test_a_closed_terminal_ends_the_relay_as_well(hang_up: signal.Handlers) -> None:
    former = signal.signal(signal.SIGHUP, hang_up)
    try:
        async with terminal() as shown:
            assert serves(shown.http_port)
            os.close(shown.descriptor)
            await until(lambda: shown.process.poll() is not None, "the end")
            assert not serves(shown.http_port)
    finally:
        signal.signal(signal.SIGHUP, former)


async def test_a_killed_run_leaves_no_process() -> None:
    async with terminal() as shown:
        setting = f"HTTP_PORT={shown.http_port}".encode()
        assert len(processes_with(setting)) > 1, "relay and media processes"
        shown.process.kill()
        await until(lambda: not processes_with(setting), "the end of all")
        assert not serves(shown.http_port)
