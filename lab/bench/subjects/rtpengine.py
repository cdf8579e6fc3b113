"""rtpengine in user space as one more relay between load generator and echo, controlled by its ng protocol."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from lab.base.errors import LabError
from lab.base.places import LOOPBACK, inherited_variables
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.bench.places import FIRST_RELAY_PORT, LAST_RELAY_PORT, RTPENGINE_CONTROL_PORT
from lab.bench.programs.short_slices import with_short_slices
from lab.bench.subjects import bencode

PACKAGE = "rtpengine-daemon"
READY_SECONDS = 15.0
ANSWER_SECONDS = 2.0
INSTALL_SECONDS = 600
# Debian's hook against service starts during an installation, without systemd. Exit code 101 means "not allowed".
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\nexit 101\n"


def find_or_install(say: Callable[[str], None]) -> Path | None:
    """Return the program, installing its package where root on Debian may; None where it is not available."""
    if shutil.which("rtpengine") is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        _install(say)
    found = shutil.which("rtpengine")
    return Path(found) if found else None


def _install(say: Callable[[str], None]) -> None:
    say(f"bench: installing Debian's {PACKAGE} (its service is not started)")
    if Path("/run/systemd/system").exists():
        say(f"bench: systemd would start its service; install it by hand: apt-get install {PACKAGE}")
        return
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", PACKAGE]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        say(f"bench: {PACKAGE} was not installed within {INSTALL_SECONDS} s")
    else:
        if done.returncode != 0:
            say(f"bench: apt-get could not install {PACKAGE}; it is not measured")
    finally:
        if ours:
            POLICY.unlink()


@asynccontextmanager
async def rtpengine(
    program: Path, ports: Sequence[int], echo_port: int, folder: Path
) -> AsyncIterator[tuple[int, list[int]]]:
    """Run rtpengine with one session for each of the generator's ports; yield its process id and its ports in order."""
    command = [
        str(program),
        "--config-file=none",
        "--foreground",
        "--table=-1",
        f"--interface={LOOPBACK}",
        f"--listen-ng={LOOPBACK}:{RTPENGINE_CONTROL_PORT}",
        f"--port-min={FIRST_RELAY_PORT}",
        f"--port-max={LAST_RELAY_PORT}",
        "--tos=184",
        "--log-stderr",
        "--log-level=4",
    ]
    process = Process("rtpengine", with_short_slices(command), inherited_variables(), folder / "rtpengine.log")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            control.settimeout(0)
            control.connect((LOOPBACK, RTPENGINE_CONTROL_PORT))
            await _wait_until_it_answers(control, process)
            yield (
                process.pid,
                [await _relay_port(control, number, port, echo_port) for number, port in enumerate(ports)],
            )
    finally:
        await process.kill()


async def _wait_until_it_answers(control: socket.socket, process: Process) -> None:
    async def answers() -> bool:
        process.check()
        try:
            await _ask(control, {"command": "ping"})
        except (OSError, TimeoutError):
            return False
        return True

    await wait_until("rtpengine answers", answers, READY_SECONDS)


async def _relay_port(control: socket.socket, number: int, source: int, echo_port: int) -> int:
    """Offer the source's address and answer with the echo's; return the port for the source to send to."""
    call: dict[str, bencode.Value] = {
        "call-id": f"bench-{number}",
        "from-tag": "source",
        "ICE": "remove",
        "replace": ["origin", "session-connection"],
    }
    await _ask(control, {**call, "command": "offer", "sdp": _sdp(source)})
    answer = await _ask(control, {**call, "command": "answer", "to-tag": "echo", "sdp": _sdp(echo_port)})
    sdp = answer.get("sdp")
    if not isinstance(sdp, str):
        raise LabError(f"rtpengine answers without SDP: {answer}")
    return next(int(line.split()[1]) for line in sdp.splitlines() if line.startswith("m=audio"))


async def _ask(control: socket.socket, message: dict[str, bencode.Value]) -> dict[str, bencode.Value]:
    loop = asyncio.get_running_loop()
    cookie = os.urandom(6).hex().encode()
    await loop.sock_sendall(control, cookie + b" " + bencode.encode(message))
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            received, _, body = (await loop.sock_recv(control, 65536)).partition(b" ")
            if received == cookie:
                break
    answer = bencode.decode(body)
    if not isinstance(answer, dict) or answer.get("result") not in {"ok", "pong"}:
        raise LabError(f"rtpengine refuses {message['command']}: {answer}")
    return answer


def _sdp(port: int) -> str:
    lines = (
        "v=0",
        f"o=- 1 1 IN IP4 {LOOPBACK}",
        "s=-",
        f"c=IN IP4 {LOOPBACK}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
        "a=sendrecv",
    )
    return "\r\n".join(lines) + "\r\n"
