"""Relays as the operator sees them: polling `/status`, bounds on reports, progress of a configuration."""
