"""Rows: properties of a relay with a real Asterisk, without a fault."""
