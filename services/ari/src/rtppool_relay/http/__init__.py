"""The answers on the relay's HTTP port."""
