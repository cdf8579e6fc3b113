"""UDP socket options, and the HTTP endpoints that all programs share."""
