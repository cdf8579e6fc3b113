import json

from lab.cluster.kind.pod_network import Node, bridge_configuration, read_nodes, script_for

ONE = Node("one", ("172.18.0.2",), ("10.244.0.0/24",))
TWO = Node("two", ("172.18.0.3",), ("10.244.1.0/24",))
DUAL = Node("dual", ("172.18.0.4", "fc00::4"), ("10.244.2.0/24", "fd00:10:244:2::/64"))


def printed(node: Node, *, joined: bool) -> dict[str, object]:
    return {
        "metadata": {"name": node.name},
        "spec": {"podCIDR": node.pods[0], "podCIDRs": list(node.pods)} if joined else {},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "x"},
                *({"type": "InternalIP", "address": address} for address in node.addresses),
            ]
        },
    }


def test_nodes_count_once_they_have_their_part_of_the_pods_network() -> None:
    text = json.dumps({"items": [printed(ONE, joined=True), printed(TWO, joined=False)]})
    assert read_nodes(text) == [ONE]
    assert read_nodes(json.dumps({"items": [printed(DUAL, joined=True)]})) == [DUAL]
    assert read_nodes("") == []


def test_each_nodes_pods_get_addresses_of_its_own_part_only() -> None:
    bridge = json.loads(bridge_configuration(TWO.pods))["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_a_node_gets_a_route_to_every_other_nodes_pods_and_none_to_its_own() -> None:
    routes = [line for line in script_for(ONE, [ONE, TWO]).splitlines() if line.startswith("ip route")]
    assert routes == ["ip route replace 10.244.1.0/24 via 172.18.0.3"]


def test_pods_of_both_families_have_an_address_and_a_route_of_each() -> None:
    bridge = json.loads(bridge_configuration(DUAL.pods))["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}], [{"subnet": "fd00:10:244:2::/64"}]]
    assert bridge["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
    routes = [line for line in script_for(ONE, [ONE, DUAL]).splitlines() if line.startswith("ip route")]
    assert routes == [
        "ip route replace 10.244.2.0/24 via 172.18.0.4",
        "ip route replace fd00:10:244:2::/64 via fc00::4",
    ]
