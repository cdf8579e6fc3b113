"""The reflector: every packet back to its sender."""
