"""Which datagrams the echo answers, and how many for each sender, without I/O."""
