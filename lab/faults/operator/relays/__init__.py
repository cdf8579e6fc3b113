"""Simulated relays with the product's real status contract."""
