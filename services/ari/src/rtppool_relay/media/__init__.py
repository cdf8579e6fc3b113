"""The control process's side of media processes: start, sockets, shared rows. It imports no other room.

This file has no imports: the first media process starts before anything else is loaded.
"""
