"""The reflector: every RTP packet back to its sender, from the address that it was sent to."""
