"""Rounds: calls, one fault, and the account of every call."""
