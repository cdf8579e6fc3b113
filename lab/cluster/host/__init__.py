"""This machine: its Debian packages, its Docker engine and its limits."""
