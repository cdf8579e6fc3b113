"""Breaks one thing at a time under live calls of a real Asterisk, and counts what became of every call."""
