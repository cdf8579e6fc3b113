"""The kind cluster: its configuration, its nodes and their network."""
