"""Faults under live calls, and faults under the operator."""
