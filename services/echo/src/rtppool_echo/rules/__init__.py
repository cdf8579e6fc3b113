"""Decisions without I/O: which datagrams are answered, how many per sender, and the count of received packets."""
