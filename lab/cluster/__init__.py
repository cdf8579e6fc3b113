"""A kind cluster with the product on it, on a machine that may lack Docker, a registry and every program."""
