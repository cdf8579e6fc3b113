"""Faults under live calls of a real Asterisk, one at a time, with an account of every call."""
