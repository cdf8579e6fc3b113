"""Relay reports into a pool's status, without I/O: figures, conditions, events, and when a write is due."""
