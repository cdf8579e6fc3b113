"""The `RtpPool` resource: parsing, rules, and the owner of each node. Without I/O."""
