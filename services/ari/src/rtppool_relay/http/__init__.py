"""Everything that the relay answers on its HTTP port."""
