"""Formulas over packets and delays, without I/O: histogram, loss bursts, delay variation, E-model."""
