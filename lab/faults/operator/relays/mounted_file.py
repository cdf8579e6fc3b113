"""`pools.json` as the relays of all nodes read it: parsed once for each text, by the product's own code."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from msgspec.structs import replace

from rtppool_core.contract.codec import Contract, ContractError, decode
from rtppool_core.contract.pools_file import VERSION, PoolEntry, decode_for_node

# Relays read a text at different times; a run has a few texts at once.
TEXTS = 8
WRONG_TEXTS = 256


class _WholeFile(Contract, frozen=True):
    pools: tuple[PoolEntry, ...]
    version: int


def entry_of_node(text: str, node_name: str) -> PoolEntry | None:
    """Return the pool that lists `node_name`, without its list of nodes, or None.

    Raises:
        ContractError: as `decode_for_node`.
    """
    entries = _entries(text)
    if entries is None:
        return _decode(text, node_name)
    return entries.get(node_name)


def generations(text: str) -> set[tuple[str, int]]:
    """Return uid and generation of each pool that has nodes; empty for a text with a mistake."""
    return {(entry.uid, entry.generation) for entry in (_entries(text) or {}).values()}


@functools.lru_cache(maxsize=TEXTS)
def _entries(text: str) -> Mapping[str, PoolEntry] | None:
    """Return the entry of each node; None for a text that relays may judge each for itself."""
    try:
        document = decode(_WholeFile, text)
    except ContractError:
        return None
    nodes = [(node, pool) for pool in document.pools for node in pool.nodes]
    if document.version != VERSION or any(node.advertise_address is not None for node, _ in nodes):
        return None
    entries: dict[str, PoolEntry] = {}
    for pool in document.pools:
        short = replace(pool, nodes=())
        for node in pool.nodes:
            # A relay uses the first pool that lists its node.
            entries.setdefault(node.name, short)
    return entries


@functools.lru_cache(maxsize=WRONG_TEXTS)
def _decode(text: str, node_name: str) -> PoolEntry | None:
    entry = decode_for_node(text, node_name)
    return None if entry is None else replace(entry, nodes=())
