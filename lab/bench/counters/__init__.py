"""Counters of the kernel and of the relay, read from outside the process that is measured."""
