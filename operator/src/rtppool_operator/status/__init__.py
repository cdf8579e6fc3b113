"""A pool's status from relay reports: figures, conditions, events, and when to write. Without I/O."""
