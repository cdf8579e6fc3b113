"""The `run` command: a local system with a live table."""
