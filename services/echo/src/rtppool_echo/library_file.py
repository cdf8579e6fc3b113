"""The place of the echo's library, apart from all code."""

from __future__ import annotations

from pathlib import Path

# In an image. Where there is none, a reflecting process compiles with numba.
LIBRARY = Path(__file__).parent / "reflector" / "reflector.so"
