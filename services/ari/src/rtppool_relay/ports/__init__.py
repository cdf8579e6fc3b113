"""UDP ports: leases, the sockets' addresses, echo targets, and the host's limits.

This file stays without imports: the first media process starts before anything else is loaded.
"""
