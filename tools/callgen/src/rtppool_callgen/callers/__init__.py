"""Callers of a load: through ARI, with SIPp, or at the Asterisk stand-in."""
