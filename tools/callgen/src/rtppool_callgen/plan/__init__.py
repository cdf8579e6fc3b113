"""The schedule of a load test, and the events of its calls."""
