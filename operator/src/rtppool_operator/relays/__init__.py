"""The room that talks to relays: polls of `/status`, bounds of reports, progress of a configuration."""
