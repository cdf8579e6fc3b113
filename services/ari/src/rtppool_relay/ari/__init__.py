"""The client of Asterisk's REST interface (ARI): requests, event websocket, errors. It imports no other room."""
