"""baresip as a caller: a SIP client that shares no code with Asterisk or SIPp, with a tone as its microphone.

It runs from its root file system as a process of this machine. Commands and events are netstrings of JSON over its
`ctrl_tcp` port.
"""

from __future__ import annotations

import asyncio
import json
import os
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lab.base.errors import LabError
from lab.base.places import LOOPBACK
from lab.base.processes import Process
from lab.base.waiting import wait_until
from lab.faults.calls.places import SIP_PORT
from lab.faults.calls.rig.rooted import WORK, rooted

Codec = Literal["opus", "g722", "ulaw"]
RATES_HZ: dict[Codec, int] = {"opus": 48_000, "g722": 16_000, "ulaw": 8_000}
NAMES: dict[Codec, str] = {"opus": "opus/48000/2", "g722": "G722/16000/1", "ulaw": "PCMU/8000/1"}
TONE_HZ = 1000
TONE_AMPLITUDE = 0.25
TONE_SECONDS = 60
NUMBER = "4940123456"
UP_SECONDS = 20
# Each client uses a SIP port, the next one for TLS, a control port, and a range of RTP ports.
FIRST_SIP_PORT, FIRST_CONTROL_PORT, FIRST_RTP_PORT = 20970, 20980, 12900
MODULES = ("g711", "g722", "opus", "aufile", "aubridge", "sndfile", "ctrl_tcp")
_CONFIG = """\
poll_method epoll
net_interface {host}
sip_listen {host}:{sip_port}
ctrl_tcp_listen {host}:{control_port}
rtp_ports {rtp_port}-{last_rtp_port}
rtp_stats yes
audio_source aufile,{work}/tone.wav
audio_player aubridge,none
audio_alert aubridge,none
ausrc_srate {rate}
auplay_srate {rate}
auplay_channels 1
opus_stereo no
opus_sprop_stereo no
snd_path {work}
module_path /usr/lib/baresip/modules
{modules}
module_tmp account.so
module_app menu.so
"""


@dataclass(slots=True)
class Softphone:
    """A running baresip. `events` are its events in order."""

    codec: Codec
    folder: Path
    _writer: asyncio.StreamWriter
    events: list[dict[str, Any]] = field(default_factory=list)

    def command(self, name: str, parameters: str = "") -> None:
        """Send a command."""
        text = json.dumps({"command": name, "params": parameters}).encode()
        self._writer.write(b"%d:%b," % (len(text), text))

    def dial(self, extension: str) -> None:
        """Call an extension of Asterisk."""
        self.command("dial", f"sip:{extension}@{LOOPBACK}:{SIP_PORT}")

    async def press(self, key: str, seconds: float) -> None:
        """Press a key for some time: RFC 4733 events beside the audio."""
        self.command("sndcode", key)
        await asyncio.sleep(seconds)
        self.command("sndcode")

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one type."""
        return [event for event in self.events if event.get("type") == kind]

    def heard(self) -> NDArray[np.float64]:
        """Return the recording of the returned sound, from the answer to a hold, as samples from -1 to 1."""
        return _samples(next(self.folder.glob("dump-*-dec.wav")))

    async def read_events(self, reader: asyncio.StreamReader) -> None:
        """Collect events until baresip ends."""
        while size := await reader.readuntil(b":"):
            text = await reader.readexactly(int(size[:-1]) + 1)
            self.events.append(json.loads(text[:-1]))


@asynccontextmanager
async def softphone(root: Path, folder: Path, codec: Codec) -> AsyncIterator[Softphone]:
    """Run baresip for the length of the block.

    Raises:
        LabError: it does not start; the message has its log.
    """
    number = list(RATES_HZ).index(codec)
    control_port = FIRST_CONTROL_PORT + number
    _configure(folder, codec, number, control_port)
    variables = {"PATH": os.environ["PATH"], "HOME": str(WORK), "TERM": "dumb"}
    process = Process("baresip", rooted(root, folder, ["baresip", "-f", str(WORK)]), variables, folder / "baresip.log")
    reading: asyncio.Task[None] | None = None
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await _connect(process, control_port)
        phone = Softphone(codec, folder, writer)
        reading = asyncio.create_task(phone.read_events(reader))
        yield phone
    finally:
        await process.end()
        if writer is not None:
            writer.close()
        if reading is not None:
            await asyncio.gather(reading, return_exceptions=True)


def rms(samples: NDArray[np.float64]) -> float:
    """Return the level of the samples."""
    return float(np.sqrt(np.mean(samples**2)))


def loudest_hz(samples: NDArray[np.float64], rate_hz: int) -> float:
    """Return the frequency of the largest part."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax()) * rate_hz / samples.size


def _configure(folder: Path, codec: Codec, number: int, control_port: int) -> None:
    folder.mkdir()
    rate, rtp_port = RATES_HZ[codec], FIRST_RTP_PORT + 10 * number
    sip_port = FIRST_SIP_PORT + 2 * number
    times = np.arange(TONE_SECONDS * rate) / rate
    tone = TONE_AMPLITUDE * 32_767 * np.sin(2 * np.pi * TONE_HZ * times)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.astype("<i2").tobytes())
    text = _CONFIG.format(
        host=LOOPBACK,
        sip_port=sip_port,
        control_port=control_port,
        rtp_port=rtp_port,
        last_rtp_port=rtp_port + 8,
        rate=rate,
        work=WORK,
        modules="\n".join(f"module {name}.so" for name in MODULES),
    )
    (folder / "config").write_text(text)
    account = f"<sip:{NUMBER}@{LOOPBACK}:{sip_port}>;regint=0;audio_codecs={NAMES[codec]}\n"
    (folder / "accounts").write_text(account)
    (folder / "contacts").write_text("")


async def _connect(process: Process, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connected() -> bool:
        process.check()
        try:
            streams.append(await asyncio.open_connection(LOOPBACK, port))
        except OSError:
            return False
        return True

    try:
        await wait_until("baresip takes commands", connected, UP_SECONDS)
    except LabError as error:
        raise LabError(f"{error}\n{process.tail()}") from error
    return streams[0]


def _samples(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return frames.reshape(-1, file.getnchannels())[:, 0] / 32_768
