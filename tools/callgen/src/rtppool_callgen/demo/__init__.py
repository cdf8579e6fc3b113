"""`make run`: a local system with a live table."""
