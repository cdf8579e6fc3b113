"""The relays and echoes that are measured."""
