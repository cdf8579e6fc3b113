"""The `RtpPool` resource and the decision which pool owns which node, without I/O."""
