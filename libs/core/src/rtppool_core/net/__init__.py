"""UDP sockets with their ancillary data, and the HTTP endpoints that every program serves."""
