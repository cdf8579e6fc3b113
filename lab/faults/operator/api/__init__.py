"""A real API server with the product's roles, and a faulty proxy in front of it."""
