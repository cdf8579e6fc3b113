"""Asterisk, echo, relay and SIPp as processes of this machine."""
