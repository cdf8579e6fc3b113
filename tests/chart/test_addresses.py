"""The addresses at which the pods listen, as the programs read them from the chart on a node."""

from __future__ import annotations

from typing import Any

import pytest

from rtppool_echo.settings import read_settings as read_echo_settings
from rtppool_relay.settings import read_settings as read_relay_settings


@pytest.mark.parametrize("node", ["10.0.0.5", "fd00::5"])
def test_http_is_served_at_the_nodes_address_and_loopback_which_kubelet_and_port_forward_use(
    defaults: Any, node: str
) -> None:
    loopback = "::1" if ":" in node else "127.0.0.1"
    for name, read in (("rtp-echo", read_echo_settings), ("rtp-relay", read_relay_settings)):
        variables = on_the_node(defaults.environment("DaemonSet", name), node)
        assert read(variables).http_bind == (node, loopback)
    assert "HTTP_BIND" not in defaults.environment("Deployment", "rtp-operator")


def on_the_node(environment: dict[str, Any], node: str) -> dict[str, str]:
    """Return the environment as Kubernetes makes it: a reference to an earlier variable is replaced by plain text."""
    variables: dict[str, str] = {}
    for name, value in environment.items():
        if isinstance(value, dict):
            variables[name] = {"status.hostIP": node, "spec.nodeName": "node-1"}[value["fieldRef"]["fieldPath"]]
        elif "_FILE" not in name:
            variables[name] = value.replace("$(NODE_IP)", variables.get("NODE_IP", "$(NODE_IP)"))
    return variables


@pytest.mark.parametrize("node", ["10.0.0.5", "fd00::5"])
def test_every_address_may_be_that_of_the_node(render: Any, node: str) -> None:
    reference = "$(NODE_IP)"
    values = {"echo.bindAddress": reference, "relay.bindAddress": reference, "httpBindAddress": [reference]}
    rendered = render(values | {"ari.url": f"http://{reference}:8088/ari", "ari.existingSecret": "asterisk"})
    echo = read_echo_settings(on_the_node(rendered.environment("DaemonSet", "rtp-echo"), node))
    relay = read_relay_settings(on_the_node(rendered.environment("DaemonSet", "rtp-relay"), node))
    assert (echo.echo_bind, echo.http_bind) == (node, (node,))
    assert (relay.bind_ip, relay.http_bind, relay.node_echo) == (node, (node,), node)
    assert relay.ari_url == (f"http://[{node}]:8088/ari" if ":" in node else f"http://{node}:8088/ari")


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["localhost"], ["10.0.0.5", "::1"]])
def test_http_that_the_kubelet_cannot_reach_is_refused(try_to_render: Any, addresses: list[str]) -> None:
    done = try_to_render({"httpBindAddress": addresses})
    assert done.returncode != 0
    assert (
        f"httpBindAddress is [{', '.join(addresses)}]; accepted is a list with $(NODE_IP), 0.0.0.0 or ::" in done.stderr
    )
