"""Rows into figures. Each tick takes the finished rows of all slots and computes over columns of them at once.

A packet costs no Python here: numpy works on columns of all streams. Per-stream state (baselines, estimates, losses
that wait for their order) is kept in small objects that a batch updates once.
"""
