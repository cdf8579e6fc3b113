"""The reference programs in C and Go: compilation and control."""
