"""Datagrams in batches: memory, the system calls that receive and send, ancillary data."""
