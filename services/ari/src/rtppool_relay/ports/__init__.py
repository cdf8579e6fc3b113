"""UDP ports: leases, socket addresses, echo targets, the probe, and the host's limits.

This file has no imports: `__main__` loads `descriptor_limit` before the first media process starts.
"""
