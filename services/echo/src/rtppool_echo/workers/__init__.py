"""The processes that reflect packets, and the process that supervises them."""
