"""Port leases that survive kill -9."""
