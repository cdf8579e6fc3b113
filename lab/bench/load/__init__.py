"""The load generator and the packets of a run."""
