"""The technique of the packet processes: Python that numba compiles to machine code, in two forms.

In development numba compiles it and keeps the code in a cache. In an image it is a library, without numba: it calls the
C library alone. Both forms depend on the source, so code of another source is never used.

A program has a list of its sources, a `Compiler` with them, and a table of the functions that its library exports.
Modules that an image uses import neither numba nor numpy: `sources` and `library`.
"""
