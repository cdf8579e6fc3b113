"""Reflecting processes: their sockets, their loop, their shared counters, and the supervision by control."""
