"""Makes a kind cluster with the product on it, on a machine that may lack everything that is needed for one."""
