"""A cluster that a stopped engine left behind."""

from lab.cluster.kind.kind_cluster import addresses_by_node


def test_nodes_that_got_each_others_addresses_are_not_the_nodes_that_joined() -> None:
    containers = "/worker 172.18.0.3\n/worker2 172.18.0.2\n"
    nodes = "worker 172.18.0.2\nworker2 172.18.0.3\n"
    assert addresses_by_node(containers) != addresses_by_node(nodes)


def test_the_order_in_which_nodes_are_listed_does_not_matter() -> None:
    assert addresses_by_node("/b 10.0.0.2\n/a 10.0.0.1 \n") == addresses_by_node("a 10.0.0.1\nb 10.0.0.2\n\n")


def test_a_container_without_an_address_is_not_alive() -> None:
    assert addresses_by_node("/a \n") != addresses_by_node("a 10.0.0.1\n")
