"""UDP ports: leases, socket addresses, echo targets, the probe, and the host's limits."""
