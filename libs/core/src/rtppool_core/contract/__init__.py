"""The two contracts between the programs: `pools.json` to the relays, `/status` back from them.

A contract is versioned. A reader ignores unknown fields of the same version, so that programs of two releases can
work together.
"""
