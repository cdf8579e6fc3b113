"""Figures, their targets, and the forms in which they are published."""
