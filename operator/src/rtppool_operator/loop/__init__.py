"""The loops that reconcile: configure relays, report statuses.

Each loop starts over from the current cluster state after a failure. While the API server is unreachable, relays
keep their configuration.
"""
