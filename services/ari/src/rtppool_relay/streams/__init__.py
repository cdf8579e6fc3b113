"""Rows of packets into numbers, in batches of numpy columns, without I/O."""
