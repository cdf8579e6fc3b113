"""The life of a call: one table of states and events, and the requests to Asterisk that carry it out."""
