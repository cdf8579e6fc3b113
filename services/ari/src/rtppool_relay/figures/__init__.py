"""Figures added up over calls and time, and the verdict against the SLA."""
