"""Decisions without I/O: which datagrams are answered, how many per sender, and the count of received packets.

They are functions over arrays of 64-bit words, with bounded memory and the time as an argument. The reflecting process
has them as machine code, so they use numbers and arrays only, and no number needs more than 64 bits. A sender is known
by its key: the four words of its name (`socket_name`). A refusal is the place of its reason in `refusals.REASONS`.
"""
