from __future__ import annotations

import pytest

from lab.faults.operator.api.api_client import ApiClient, Endpoint
from lab.faults.operator.api.api_server import administrator
from lab.faults.operator.relays.kubelet import Kubelet
from rtppool_core.contract.pools_file import (
    CONFIG_MAP_NAME,
    FILE_NAME,
    NodeAssignment,
    PoolEntry,
    PoolsDocument,
    encode,
)
from rtppool_core.contract.port_range import PortRange


@pytest.fixture
def kubelet() -> Kubelet:
    return Kubelet(ApiClient(Endpoint("http://127.0.0.1:1"), administrator()), {}, lambda _relay, _text: None)


def file_of(**generations: int) -> str:
    """Return `pools.json` with a pool of each uid."""
    entries = [
        PoolEntry(uid, "voice", uid, generation, (NodeAssignment(f"node-{uid}"),), PortRange(10_000, 10_010))
        for uid, generation in generations.items()
    ]
    return encode(PoolsDocument(tuple(entries)))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([file_of(a=1), file_of(a=2), file_of(a=2, b=1)], 0),
        ([file_of(a=2), "not JSON", file_of(), file_of(a=2)], 0),
        ([file_of(a=2), file_of(b=1)], 0),
        ([file_of(a=2, b=1), file_of(a=1, b=2)], 1),
    ],
)
def test_a_file_with_an_older_generation_than_one_before_it_is_counted(
    kubelet: Kubelet, texts: list[str], expected: int
) -> None:
    for text in texts:
        kubelet._on_config("MODIFIED", {"metadata": {"name": CONFIG_MAP_NAME}, "data": {FILE_NAME: text}})
    assert kubelet.older_configurations == expected
