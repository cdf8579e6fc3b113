"""The pools that the operator honours, their precedence, and the hosts that they may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from rtppool_core.contract.pools_file import decode_for_node
from rtppool_operator.pools.desired import Desired, desired_state
from rtppool_operator.pools.spec import ClusterView, Node, Pool, RelayPod
from rtppool_operator.pools.trust import HostList, TrustPolicy

MakePool = Callable[..., Pool]
LINUX = {"kubernetes.io/os": "linux"}
NODES = {name: Node(name, {**LINUX, "zone": zone}) for name, zone in {"a": "1", "b": "2", "c": "2"}.items()}
RELAYS = tuple(RelayPod(f"relay-{name}", f"uid-relay-{name}", name, "192.0.2.1", 9090) for name in NODES)
OLD, MIDDLE, NEW = (f"2026-{month:02}-01T00:00:00Z" for month in (1, 6, 11))
RELEASE_ONLY = TrustPolicy("voice")
WITH_TENANT = TrustPolicy("voice", frozenset({"tenant"}))
TENANT_MAY_TAKE = replace(WITH_TENANT, foreign_pools_may_take_nodes=True)
EVIL = {
    "nodeSelector": LINUX,
    "echo": {"host": "listen.attacker.example", "port": 53},
    "advertise": {"source": "Static", "address": "203.0.113.9"},
}


def settle(policy: TrustPolicy, *pools: Pool, before: str | None = None) -> Desired:
    """Return the desired state; `before` is the pools.json of the previous operator."""
    return desired_state(ClusterView(pools, RELAYS, NODES, before), policy)


def owners(desired: Desired) -> dict[str, str]:
    return {node: f"{entry.namespace}/{entry.name}" for node, entry in desired.entries.items()}


def owned_by(*names: str) -> Mapping[str, str]:
    return dict(zip("abc", names, strict=True))


def test_a_pool_of_a_tenant_takes_no_node_and_hears_no_call(make_pool: MakePool) -> None:
    default, tenant = make_pool("default", OLD), make_pool("mine", NEW, "tenant", **EVIL)
    alone = settle(RELEASE_ONLY, default)
    both = settle(RELEASE_ONLY, default, tenant)
    assert both.text == alone.text
    assert "attacker" not in both.text
    claim = both.claims[tenant.uid]
    assert (claim.owned, claim.lost, claim.without_relay) == ((), (), ()), "no names of nodes and pools are disclosed"
    assert claim.refusal is not None
    assert claim.refusal.reason == "NamespaceNotHonoured"
    assert "operator.poolNamespaces" in claim.refusal.message
    assert "tenant" in claim.refusal.message


def test_a_tenant_s_pool_alone_in_the_cluster_gets_nothing_either(make_pool: MakePool) -> None:
    assert owners(settle(RELEASE_ONLY, make_pool("mine", OLD, "tenant"))) == {}


def test_inside_the_release_a_selector_beats_an_empty_one(make_pool: MakePool) -> None:
    pools = make_pool("default", OLD), make_pool("zone", NEW, nodeSelector={"zone": "2"})
    assert owners(settle(RELEASE_ONLY, *pools)) == owned_by("voice/default", "voice/zone", "voice/zone")


@pytest.mark.parametrize("selector", [{}, LINUX])
@pytest.mark.parametrize("created", [OLD, NEW])
def test_a_listed_namespace_takes_no_node_from_the_release(
    make_pool: MakePool, selector: dict[str, str], created: str
) -> None:
    zone = make_pool("zone", MIDDLE, nodeSelector={"zone": "2"})
    tenant = make_pool("mine", created, "tenant", nodeSelector=selector)
    desired = settle(WITH_TENANT, zone, tenant)
    assert owners(desired) == owned_by("tenant/mine", "voice/zone", "voice/zone")
    assert desired.claims[tenant.uid].lost == (("b", "voice/zone"), ("c", "voice/zone"))
    default = make_pool("default", MIDDLE)
    assert owners(settle(WITH_TENANT, default, tenant)) == owned_by(*["voice/default"] * 3)


def test_a_listed_namespace_takes_no_node_from_an_older_pool_of_another_one(make_pool: MakePool) -> None:
    policy = replace(WITH_TENANT, pool_namespaces=frozenset({"tenant", "older"}))
    older, tenant = make_pool("all", OLD, "older"), make_pool("mine", NEW, "tenant", nodeSelector=LINUX)
    assert owners(settle(policy, older, tenant)) == owned_by(*["older/all"] * 3)
    assert owners(settle(policy, replace(older, created=NEW), replace(tenant, created=OLD))) == owned_by(
        *["tenant/mine"] * 3
    )


def test_with_permission_a_listed_namespace_takes_nodes_by_the_rule_of_the_release(make_pool: MakePool) -> None:
    pools = make_pool("default", OLD), make_pool("mine", NEW, "tenant", nodeSelector={"zone": "2"})
    assert owners(settle(TENANT_MAY_TAKE, *pools)) == owned_by("voice/default", "tenant/mine", "tenant/mine")
    other = make_pool("mine", NEW, "other", nodeSelector={"zone": "1"})
    assert owners(settle(TENANT_MAY_TAKE, *pools, other))["a"] == "voice/default", "the permission lists no namespace"


def test_a_node_whose_labels_are_not_known_yet_waits_for_a_pool_of_the_release(make_pool: MakePool) -> None:
    zone = make_pool("zone", MIDDLE, nodeSelector={"zone": "2"})
    view = ClusterView((zone, make_pool("mine", OLD, "tenant")), RELAYS, {"a": NODES["a"]}, None)
    assert owners(desired_state(view, WITH_TENANT)) == {"a": "tenant/mine"}


@pytest.fixture
def written(make_pool: MakePool) -> str:
    """`pools.json` of a previous version, under which a tenant's pool has two nodes."""
    pools = make_pool("default", OLD), make_pool("mine", NEW, "tenant", nodeSelector={"zone": "2"})
    return settle(TENANT_MAY_TAKE, *pools).text


KEPT = owned_by("voice/default", "tenant/mine", "tenant/mine")


def test_at_an_upgrade_relays_keep_the_entry_of_a_pool_that_is_no_longer_honoured(
    make_pool: MakePool, written: str
) -> None:
    default, tenant = make_pool("default", OLD), make_pool("mine", NEW, "tenant", nodeSelector={"zone": "2"})
    desired = settle(RELEASE_ONLY, default, tenant, before=written)
    assert desired.text == written, "no relay reads another configuration, so no call is redirected"
    assert owners(desired) == KEPT
    assert desired.claims[tenant.uid].refusal is not None


@pytest.mark.parametrize(
    "edit",
    [
        {"portRange": {"start": 20000, "end": 20100}},
        {"nodeSelector": LINUX},
        {"nodeSelector": {}},
        {**EVIL},
        {"paused": True},
        {"portRange": {"start": 5, "end": 1}},
    ],
)
def test_no_edit_of_such_a_pool_is_applied(make_pool: MakePool, written: str, edit: dict[str, Any]) -> None:
    default = make_pool("default", OLD)
    tenant = replace(make_pool("mine", NEW, "tenant", **{"nodeSelector": {"zone": "2"}, **edit}), generation=9)
    assert settle(RELEASE_ONLY, default, tenant, before=written).text == written


def test_a_new_pool_of_the_release_does_not_end_that_entry(make_pool: MakePool, written: str) -> None:
    pools = make_pool("default", OLD), make_pool("mine", NEW, "tenant", nodeSelector={"zone": "2"})
    zone = make_pool("zone", NEW, nodeSelector={"zone": "2"})
    desired = settle(RELEASE_ONLY, *pools, zone, before=written)
    assert owners(desired) == KEPT
    assert desired.claims[zone.uid].lost == (("b", "tenant/mine"), ("c", "tenant/mine"))


def test_the_administrator_decides_by_deleting_the_pool_or_by_listing_its_namespace(
    make_pool: MakePool, written: str
) -> None:
    default = make_pool("default", OLD, nodeSelector={"zone": "1"})
    assert owners(settle(RELEASE_ONLY, default, before=written)) == {"a": "voice/default"}
    range_edit = {"portRange": {"start": 20000, "end": 20100}, "nodeSelector": {"zone": "2"}}
    tenant = replace(make_pool("mine", NEW, "tenant", **range_edit), generation=9)
    listed = settle(WITH_TENANT, default, tenant, before=written)
    entry = decode_for_node(listed.text, "b")
    assert entry is not None
    assert (entry.namespace, str(entry.port_range), entry.generation) == ("tenant", "20000-20100", 9)


def test_a_pool_that_was_created_again_has_no_entry_to_keep(make_pool: MakePool, written: str) -> None:
    again = replace(make_pool("mine", NEW, "tenant", nodeSelector={"zone": "2"}), uid="uid-again")
    assert owners(settle(RELEASE_ONLY, make_pool("default", OLD), again, before=written)) == owned_by(
        *["voice/default"] * 3
    )


LIMITED = TrustPolicy(
    "voice",
    frozenset({"tenant"}),
    echo_hosts=HostList.parse("127.0.0.1, 10.1.0.0/16, fd00::/8, echo.example.com"),
    advertised=HostList.parse("192.0.2.0/24"),
)


@pytest.mark.parametrize("namespace", ["voice", "tenant"])
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"echo": {"host": "listen.attacker.example", "port": 53}},
            (
                "echo.host is listen.attacker.example; the chart's operator.allowedEchoHosts has "
                "127.0.0.1/32, 10.1.0.0/16, fd00::/8 and others"
            ),
        ),
        ({"echo": {"host": "10.2.0.1"}}, "echo.host is 10.2.0.1; "),
        ({"echo": {"host": "fe80::1"}}, "echo.host is fe80::1; "),
        ({"echo": {"host": "evil.echo.example.com"}}, "echo.host is evil.echo.example.com; "),
        (
            {"advertise": {"source": "Static", "address": "203.0.113.9"}},
            "advertise.address is 203.0.113.9; the chart's operator.allowedAdvertiseAddresses has 192.0.2.0/24",
        ),
    ],
)
def test_a_host_that_the_chart_does_not_allow_reaches_no_relay(
    make_pool: MakePool, namespace: str, spec: dict[str, Any], message: str
) -> None:
    pool = make_pool("p", OLD, namespace, **spec)
    desired = settle(LIMITED, pool)
    refusal = desired.claims[pool.uid].refusal
    assert refusal is not None
    assert refusal.reason == "NotAllowed"
    assert refusal.message.startswith(message)
    assert owners(desired) == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.255.255", "fd00::1", "echo.example.com", "ECHO.example.com."])
@pytest.mark.parametrize("advertise", [{}, {"source": "Static", "address": "192.0.2.7"}, {"source": "HostIP"}])
def test_an_allowed_host_and_address_are_applied(make_pool: MakePool, host: str, advertise: dict[str, str]) -> None:
    pool = make_pool("p", OLD, echo={"host": host}, advertise=advertise)
    assert owners(settle(LIMITED, pool)) == owned_by(*["voice/p"] * 3)


def test_without_lists_every_host_is_allowed(make_pool: MakePool) -> None:
    assert owners(settle(RELEASE_ONLY, make_pool("p", OLD, **EVIL))) == owned_by(*["voice/p"] * 3)


def test_an_edit_to_a_host_that_is_not_allowed_leaves_the_last_entry_in_force(make_pool: MakePool) -> None:
    first = settle(LIMITED, make_pool("p", OLD)).text
    edited = replace(make_pool("p", OLD, echo={"host": "listen.attacker.example"}), generation=4)
    assert settle(LIMITED, edited, before=first).text == first


def test_an_invalid_spec_of_the_release_is_not_called_forbidden(make_pool: MakePool) -> None:
    broken = make_pool("p", OLD, portRange={"start": 5, "end": 1}, echo={"host": "listen.attacker.example"})
    assert LIMITED.check(broken) is None
    assert broken.problem is not None


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "a..b", "127.1", "*.example.com", "-", "fe80::1%eth0/64"])
def test_an_entry_that_is_neither_a_network_nor_a_name_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        HostList.parse(f"127.0.0.1,{entry}")
