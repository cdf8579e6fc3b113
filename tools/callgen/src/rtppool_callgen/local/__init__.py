"""Echo, relay and stand-in as processes on this machine."""
