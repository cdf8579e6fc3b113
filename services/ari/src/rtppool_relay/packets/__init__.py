"""The media process itself, compiled to machine code. No other room imports it."""
