"""Run one form of the packet path on the scripted kernel: `python scripted_run.py SEED PACKETS STEPS [LIBRARY]`.

It prints JSON: the digest of all sent bytes and of the memory after each step, and what was counted.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import socket
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rtppool_relay.media.rows import WORDS, Word
from rtppool_relay.media.sizes import SLOT_BYTES
from rtppool_relay.packets.layout import ASTERISK_LEG, ECHO_LEG, LOCAL_ECHO_LEG
from rtppool_relay.packets.memory import Media, lay_out

CALLS = 6
EPOLL, COMMANDS, FIRST_PORT = 7999, 7998, 8000
# EF, as the script sends most packets.
TOS = 184
COMPARED = ("calls", "sources", "sockets", "pending", "data")


def load(library: Path | None) -> Any:
    """Return the functions of a library, or numba's."""
    if library is not None:
        from rtppool_relay.packets.library import Library  # noqa: PLC0415 a library must need no numba

        return Library(library)
    from rtppool_relay.packets import departure_stamps, joining, packet_path  # noqa: PLC0415
    from rtppool_relay.packets.compile_ahead import compile_ahead  # noqa: PLC0415

    compile_ahead()
    return SimpleNamespace(
        forward=packet_path.forward,
        drain_queued=packet_path.drain_queued,
        expect=packet_path.expect,
        collect_stamps=departure_stamps.collect_stamps,
        begin_call=joining.begin_call,
        link=joining.link,
        resume=joining.resume,
        set_echo=joining.set_echo,
    )


def add_calls(code: Any, media: Media, kernel: ctypes.CDLL) -> None:
    """Enter calls of both families, with and without extension, checked and unchecked, near and far echoes."""
    for slot in range(CALLS):
        asterisk, echo = FIRST_PORT + 2 * slot, FIRST_PORT + 2 * slot + 1
        family = (socket.AF_INET, socket.AF_INET6)[slot % 2]
        address = struct.pack("=H", family) + bytes(range(2, 28))
        code.begin_call(media, slot, asterisk, TOS, slot % 2, *struct.unpack("<4q", address.ljust(32, b"\0")))
        code.set_echo(media, slot, echo)
        for descriptor, leg in ((asterisk, ASTERISK_LEG), (echo, (ECHO_LEG, LOCAL_ECHO_LEG)[slot % 2])):
            code.link(media, descriptor, slot, leg, int(slot != 0))
        kernel.script_peer(slot, address)


def state_of(media: Media, memory: mmap.mmap) -> str:
    """Return the digest of everything that the packet path wrote."""
    digest = hashlib.sha256(memory)
    for name in COMPARED:
        digest.update(getattr(media, name).tobytes())
    return digest.hexdigest()


def run(seed: int, packets: int, steps: int, library: Path | None) -> dict[str, Any]:
    """Forward the packets in so many steps, and drain each call's queue before a step."""
    kernel = ctypes.CDLL(None)
    kernel.script_begin.argtypes = (ctypes.c_uint64, ctypes.c_int)
    kernel.script_packets.argtypes = (ctypes.c_uint64,)
    kernel.script_digest.restype = ctypes.c_uint64
    code = load(library)
    memory = mmap.mmap(-1, CALLS * SLOT_BYTES)
    media = lay_out(memory, CALLS, EPOLL, COMMANDS)
    kernel.script_begin(seed, CALLS)
    add_calls(code, media, kernel)
    states: list[str] = []
    for step in range(steps):
        for slot in range(CALLS):
            media.calls[slot]["unchecked"] = (slot + step) % 3 == 0
            kernel.script_active(1)
            code.drain_queued(media, slot)
            code.collect_stamps(media, FIRST_PORT + 2 * slot)
            kernel.script_active(0)
            media.calls[slot]["unchecked"] = (slot + step) % 4 == 0
        code.expect(media, step % CALLS, int(media.calls[step % CALLS]["highest"]) + step % 2)
        kernel.script_packets(packets // steps)
        if not code.forward(media):
            raise RuntimeError("epoll failed")
        # As a process that takes over: a stream goes on behind its latest row.
        code.resume(media, step % CALLS)
        states.append(f"{kernel.script_digest():x} {state_of(media, memory)}")
    counts = {Word(word).name: int(media.words[:, word].sum()) for word in range(Word.DSCP_CHANGED, WORDS)}
    return {
        "states": states,
        "counts": counts,
        "written": int((media.rows["index"] != 0).sum()),
        "answered": int((media.rows["y"] != 0).sum()),
        "filled": int((media.rows["echo_count"] != 0).sum()),
        "has numba": "numba" in sys.modules,
    }


if __name__ == "__main__":
    seed, packets, steps = (int(argument) for argument in sys.argv[1:4])
    print(json.dumps(run(seed, packets, steps, Path(sys.argv[4]) if sys.argv[4:] else None)))
