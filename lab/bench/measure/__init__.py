"""One file for each measurement."""
