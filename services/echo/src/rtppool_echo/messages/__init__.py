"""Datagrams and the kernel: memory for a batch, system calls that receive and send it, ancillary data."""
