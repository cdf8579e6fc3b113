"""Ways to place calls: through ARI, SIPp, or the Asterisk stand-in."""
