"""Known stalls of known length, and the true cause of each late packet, computed without the product.

The truth of a packet has four sources: its due time and its returning (load generator), its arrival and its departure
(reflector, kernel stamps), and the logs of the programs that made the stalls. No row of the relay is in it.
"""
