"""The error that ends a command."""

from __future__ import annotations


class LabError(Exception):
    """A command cannot run or go on. The message names the problem, its place and the remedy; no traceback is printed.

    A property of the product that does not hold is never an error: it is a figure or a finding of the run.
    """
