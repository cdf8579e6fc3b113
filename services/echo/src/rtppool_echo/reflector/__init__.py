"""The reflecting process itself, compiled to machine code. No other room imports it."""
