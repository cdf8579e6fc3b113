"""Benchmarks: the cost of packets, and the truth of the product's figures."""
