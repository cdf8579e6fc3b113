"""The schedule of a load test, and the life of one caller in it, without I/O."""
