import json

from lab.cluster.kind.pod_network import Node, bridge_configuration, read_nodes, script_for

ONE = Node("one", "172.18.0.2", "10.244.0.0/24")
TWO = Node("two", "172.18.0.3", "10.244.1.0/24")


def printed(node: Node, *, joined: bool) -> dict[str, object]:
    return {
        "metadata": {"name": node.name},
        "spec": {"podCIDR": node.pods} if joined else {},
        "status": {
            "addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": node.address}]
        },
    }


def test_nodes_count_once_they_have_their_part_of_the_pods_network() -> None:
    text = json.dumps({"items": [printed(ONE, joined=True), printed(TWO, joined=False)]})
    assert read_nodes(text) == [ONE]
    assert read_nodes("") == []


def test_each_nodes_pods_get_addresses_of_its_own_part_only() -> None:
    bridge = json.loads(bridge_configuration(TWO.pods))["plugins"][0]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]


def test_a_node_gets_a_route_to_every_other_nodes_pods_and_none_to_its_own() -> None:
    routes = [line for line in script_for(ONE, [ONE, TWO]).splitlines() if line.startswith("ip route")]
    assert routes == ["ip route replace 10.244.1.0/24 via 172.18.0.3"]
