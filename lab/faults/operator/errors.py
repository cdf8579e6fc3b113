"""The one error that ends a run: a sentence for the user."""

from __future__ import annotations


class HarnessError(Exception):
    """What was wrong, where, and what to do. Never the product's fault; that is told in a result."""
