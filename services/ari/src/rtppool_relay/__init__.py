"""The relay: a UDP port of its own for each call, and the measurement."""
