"""RTP packets (RFC 3550): header, sequence arithmetic, and the header extension of the echo."""
