"""Container images: bases, nodes, Asterisk and SIPp, and the product."""
