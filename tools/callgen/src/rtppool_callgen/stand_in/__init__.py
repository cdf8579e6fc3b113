"""A stand-in for Asterisk: the part of ARI that the relay uses, and RTP."""
