"""An Asterisk stand-in: ARI server and RTP source."""
