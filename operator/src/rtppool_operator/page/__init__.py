"""The operator's page: pools, their conditions in words with the remedy, and relays with their verdicts."""
