"""The machine code of a reflecting process: of the library where one was built, as in an image, otherwise of numba."""

from __future__ import annotations

from rtppool_echo.library_file import LIBRARY

if LIBRARY.exists():
    from rtppool_echo.reflector.library import Library

    _library = Library(LIBRARY)
    answer, reflect = _library.answer, _library.reflect
else:
    from rtppool_echo.reflector.compile_ahead import compile_process
    from rtppool_echo.reflector.entry_points import answer, reflect

    # No packet waits for the compiler.
    compile_process()

__all__ = ["answer", "reflect"]
