"""The operator behind RtpPool."""
