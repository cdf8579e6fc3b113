"""Echo, relay and stand-in as processes of this machine."""
