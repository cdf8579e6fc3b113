"""Memory for machine code, as 64-bit words: the form in which a library gets numbers and arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def described(fields: Iterable[Any]) -> list[int]:
    """Return each number itself, and the address, shape and strides of each numpy array."""
    words: list[int] = []
    for field in fields:
        words += (field,) if isinstance(field, int) else (field.ctypes.data, *field.shape, *field.strides)
    return words
