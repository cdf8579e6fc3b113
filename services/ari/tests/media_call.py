"""One call through a real media process; the test plays Asterisk and the echo."""

from __future__ import annotations

from rtppool_relay.media.port_sockets import PortSockets, bind_pair
from rtppool_relay.media.supervisor import Attachment, MediaSupervisor
from rtppool_testing.packets import rtp_packet
from rtppool_testing.sockets import receive, udp_socket


class MediaCall:
    """A bound port with a slot of rows; `supervisor.attach(call.attachment)` makes it forward."""

    def __init__(self, supervisor: MediaSupervisor) -> None:
        self.asterisk, self.echo = udp_socket(), udp_socket()
        self.pair: PortSockets = bind_pair("127.0.0.1", 0, 46)
        self.pair.echo.connect(self.echo.getsockname())
        self.pair.asterisk.connect(self.asterisk.getsockname())
        self.slot = supervisor.take_slot()
        self.attachment = Attachment(self.slot, self.pair, self.asterisk.getsockname())

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.pair.port)

    async def round_trip(self, sequence: int) -> None:
        self.asterisk.sendto(rtp_packet(sequence), self.address)
        assert await receive(self.echo, 30) == rtp_packet(sequence)
        self.echo.sendto(rtp_packet(sequence), self.address)
        assert await receive(self.asterisk, 30) == rtp_packet(sequence)

    def close(self) -> None:
        for sock in (self.asterisk, self.echo, self.pair.asterisk, self.pair.echo):
            sock.close()
