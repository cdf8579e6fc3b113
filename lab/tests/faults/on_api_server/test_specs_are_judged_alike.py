"""The API server and the operator accept the same specs and refuse the others, for the same field."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.faults.operator.api.api_client import ApiRefused
from lab.faults.operator.api.api_server import Programs
from lab.faults.operator.api.resources import NAMESPACE, pools_of
from lab.faults.operator.rig.rig import Rig, make_rig
from rtppool_operator.pools.parsing import read_spec, spec_schema
from rtppool_operator.pools.rules import Refusal
from rtppool_operator.pools.spec import PoolSpec

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = ROOT / "examples"
SCHEMA = spec_schema(yaml.safe_load((ROOT / "charts/rtp-pool/files/rtppools.yaml").read_text()))
HOSTS = [
    *("127.0.0.1", "10.1.2.3", "1.2.3", "300.1.1.1", "01.2.3.4", "1.2.3.4.", "0.0.0.0", "255.255.255.255", "224.0.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "::ffff:1.2.3.4", "2001:db8:::1", "[::1]", "64:ff9b::1.2.3.4"),
    *(
        "echo",
        "echo.",
        ".",
        "..",
        "a..b",
        "-a",
        "a-",
        "_a._b",
        "1a",
        "a.1",
        "127.1",
        "0x1",
        "a.0x",
        "é",
        "a b",
        "a\n",
        "",
    ),
    *("a" * 63, "a" * 64, ".".join(["a" * 63] * 4), "192.0.2.1:4000", "udp://echo/"),
]
LABEL_KEYS = [
    "a",
    "a/b",
    "A/b",
    "x.y/z",
    "x..y/z",
    "/a",
    "a/",
    "a b",
    "é",
    "-a",
    "a_b.c",
    "a" * 64,
    "x" * 250 + "/a",
    "",
]
LABEL_VALUES = ["", "a", "a b", "-", "a_b", "A.b", "a" * 63, "a" * 64, "é", ".a"]
SPECS = 400


@pytest.fixture
async def bare_rig(tmp_path: Path, programs: Programs) -> AsyncIterator[Rig]:
    """Yield an API server with the definition alone."""
    async with make_rig(tmp_path, programs, random.Random(1)) as rig:
        yield rig


async def refusal(rig: Rig, spec: Any) -> str | None:
    """Return the API server's message against a spec, or None."""
    document = {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"name": "tried", "namespace": NAMESPACE},
        "spec": spec,
    }
    try:
        await rig.api.request("POST", pools_of(NAMESPACE), document, query={"dryRun": "All"})
    except ApiRefused as refused:
        return str(refused)
    return None


def some_spec(chance: random.Random) -> dict[str, Any]:
    """Specs on both sides of every rule."""
    start = chance.choice([1024, 1434, 5060, 5350, 5351, 10_000, 1023, 65_000, chance.randrange(1024, 12_000)])
    spec: dict[str, Any] = {
        "portRange": {"start": start, "end": start + chance.choice([0, 0, 1, 2, 100, 4095, 4096, -1])}
    }
    if chance.random() < 0.5:
        spec["excludedPorts"] = [start + chance.choice([0, 1, 2, 3, -1]) for _ in range(chance.randrange(4))]
    if chance.random() < 0.5:
        spec["echo"] = {"host": chance.choice(HOSTS), "port": chance.choice([4000, 4000, start, 0, 65_535, 65_536])}
    if chance.random() < 0.4:
        spec["nodeSelector"] = {chance.choice(LABEL_KEYS): chance.choice(LABEL_VALUES)}
    if chance.random() < 0.3:
        spec["advertise"] = {"source": chance.choice(["HostIP", "Static", "NodeExternalIP"])}
        if chance.random() < 0.7:
            spec["advertise"]["address"] = chance.choice(HOSTS)
    if chance.random() < 0.3:
        spec["sla"] = {
            "tiers": [
                {
                    "upToCalls": chance.choice([1, 30, 4096, 4097]),
                    "p50Microseconds": chance.choice([0, 5, 10]),
                    "p95Microseconds": chance.choice([5, 10]),
                    "p99Microseconds": chance.choice([5, 10, 60_000_001]),
                }
                for _ in range(chance.randrange(3))
            ]
        }
    return spec


async def test_every_example_is_judged_alike_and_what_is_refused_for_the_same_field(bare_rig: Rig) -> None:
    for path in sorted((*EXAMPLES.glob("valid/*.yaml"), *EXAMPLES.glob("invalid/*.yaml"))):
        spec = yaml.safe_load(path.read_text())["spec"]
        said, read = await refusal(bare_rig, spec), read_spec(spec, SCHEMA)
        if path.parent.name == "valid":
            assert (said, isinstance(read, Refusal)) == (None, False), path.name
        else:
            assert isinstance(read, Refusal), path.name
            assert f"{read.field}: " in (said or "accepted"), path.name


async def test_specs_by_chance_are_judged_alike(bare_rig: Rig) -> None:
    chance = random.Random(20_260_101)
    judged = []
    for _ in range(SPECS):
        spec = some_spec(chance)
        said, read = await refusal(bare_rig, spec), read_spec(spec, SCHEMA)
        assert (said is None) == (not isinstance(read, Refusal)), f"{spec}: {said} and {read}"
        judged.append(said is None)
    assert 0 < sum(judged) < SPECS


async def test_every_host_and_every_label_is_judged_alike(bare_rig: Rig) -> None:
    ports = {"start": 10_000, "end": 10_100}
    tried = [
        *({"portRange": ports, "echo": {"host": host}} for host in HOSTS),
        *({"portRange": ports, "advertise": {"source": "Static", "address": host}} for host in HOSTS),
        *({"portRange": ports, "nodeSelector": {key: value}} for key in LABEL_KEYS for value in LABEL_VALUES),
    ]
    for spec in tried:
        said, read = await refusal(bare_rig, spec), read_spec(spec, SCHEMA)
        assert (said is None) == (not isinstance(read, Refusal)), f"{spec}: {said} and {read}"


async def test_the_api_server_drops_nulls_and_unknown_fields_before_the_operator_reads_them(bare_rig: Rig) -> None:
    spec = {"portRange": {"start": 10_000, "end": 10_100}, "maxCalls": None, "echo": None, "newer": 1}
    document = {
        "apiVersion": "rtppool.dev/v1alpha1",
        "kind": "RtpPool",
        "metadata": {"name": "tried", "namespace": NAMESPACE},
        "spec": spec,
    }
    stored = (await bare_rig.api.request("POST", pools_of(NAMESPACE), document, query={"dryRun": "All"}))["spec"]
    assert {"maxCalls", "newer"}.isdisjoint(stored)
    assert stored["echo"]["port"] == 4000, "a null takes the default"
    assert isinstance(read_spec(stored, SCHEMA), PoolSpec)
