"""API server, operators and simulated relays together."""
