"""Calls for a relay: an Asterisk stand-in, a demonstration with a live table, and the load test."""
