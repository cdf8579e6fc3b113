"""The one error that ends a command: a sentence for the user."""

from __future__ import annotations


class ClusterError(Exception):
    """What was wrong, where, and what to do. Printed without a traceback; exit code 1."""
