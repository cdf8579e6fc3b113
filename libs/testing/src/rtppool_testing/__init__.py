"""Test support for all packages: waiting, free ports, sockets, packets and a scripted echo.

Tests and `lab` import this package. The product never does.
"""
