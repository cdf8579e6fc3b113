"""The echo: sends every RTP packet back to its sender, from the address that the packet was sent to."""
