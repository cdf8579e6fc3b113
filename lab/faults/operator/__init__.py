"""The operator against a real API server, with faults: campaign, scale and idle runs, and what its tests stand on."""
