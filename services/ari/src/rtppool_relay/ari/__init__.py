"""Asterisk's REST interface (ARI): requests, the event websocket, errors. It imports no other room."""
