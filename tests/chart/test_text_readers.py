"""The chart's readers of addresses, networks, hosts, labels and quantities agree with the product's and Kubernetes'."""

from __future__ import annotations

import ipaddress
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtppool_operator.pools.rules import LABEL_KEY, LABEL_VALUE, MAX_LABEL_KEY, is_host_name

ADDRESSES = (
    *("0.0.0.0", "10.0.0.5", "127.0.0.1", "127.1.2.3", "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1"),
    *("1.2", "127.1", "999.1.1.1", "010.0.0.1", "1.2.3.4.5", "1.2.3.", "0x7f.0.0.1", "dead.beef", "::::", ""),
    *(
        "::",
        "::1",
        "1::",
        "fd00::5",
        "FD00::5",
        "2001:db8::1:2",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8",
    ),
    *("1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:::2", ":1:2:3:4:5:6:7", "12345::", "g::", "fe80::1%eth0"),
    *("ff02::1", "::ffff:10.0.0.1", "::10.0.0.1", "1:2:3:4:5:6:10.0.0.1", "1:2:3:4:5:6:7:10.0.0.1", "::1.2.3", "[::1]"),
)
NETWORKS = (
    *(
        "10.0.0.0/8",
        "10.0.0.0/08",
        "10.0.0.5/8",
        "10.0.0.0/99",
        "0.0.0.0/0",
        "10.1.2.3/32",
        "10.128.0.0/9",
        "10.64.0.0/9",
    ),
    *("10.0.0.0/", "/8", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/8 ", "::/0", "fd00::/8", "fd00::/7", "fd00::/6"),
    *("2001:db8::/32", "2001:db8::1/64", "2001:db8::1/128", "2001:db8::/129", "1:2:3:8000::/49", "1:2:3:8000::/48"),
)
NAMES = (
    *(
        "a",
        "a.b",
        "a..b",
        "a.-b",
        ".a",
        "a.",
        "A",
        "a_b",
        "echo.example.com",
        "echo.example.com.",
        "300.1.1.1",
        "1.2.3.0x",
    ),
    *("a b", "a/b", "x" * 63, "x" * 64, "x" * 254, "app.kubernetes.io/name", "a/b/c", "/a", "a/", "-a", "ä", "é" * 30),
    *("topology.kubernetes.io/zone", "A/b", "a/B", "a/" + "b" * 63, "a/" + "b" * 64, "echo_1", "1", "e1.2", "a,b", "*"),
)
QUANTITIES = {
    "1": 1,
    "0": 0,
    "010": 10,
    "0.5": 0.5,
    "500m": 0.5,
    "1k": 1000,
    "64Mi": 2**26,
    "1Gi": 2**30,
    "1.5Gi": 1.5 * 2**30,
    "1e3": 1000,
    "1E+3": 1000,
    "2Ti": 2**41,
    "256": 256,
    "128M": 128e6,
    **dict.fromkeys(("", "banana", "-1", "1 Gi", "Mi", "1KB", "1Mib", "1.", ".5", "0x10", "1e", "1,5", "1u Mi")),
}


@pytest.fixture(scope="module")
def read(
    helm: Callable[..., Any], chart: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[list[str]], list[dict[str, str]]]:
    """Return the answers of all readers to each text, from a chart that has the readers alone."""
    folder = tmp_path_factory.mktemp("readers")
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: readers\nversion: 0.1.0\n")
    readers = (chart / "templates/refusals/_texts.tpl").read_text()
    (folder / "templates/_texts.tpl").write_text(readers)
    names = re.findall(r'define "rtp-pool\.(\w+)"', readers)
    lines = [f'  {name}: {{{{ include "rtp-pool.{name}" . | toJson }}}}' for name in names]
    body = "\n".join(["answers:", "{{- range .Values.texts }}", "- text: {{ toJson . }}", *lines, "{{- end }}"])
    (folder / "templates/answers.yaml").write_text(body + "\n")

    def answers(texts: list[str]) -> list[dict[str, str]]:
        values = folder / "values.yaml"
        values.write_text(json.dumps({"texts": texts}))
        done = helm("template", "rtp", folder)
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load(done.stdout)["answers"])

    return answers


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse as the chart does: no zone, which belongs to one node."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def kind_of(text: str) -> str:
    address = address_of(text)
    if address is None:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return "mapped"
    kinds = {
        "unspecified": address.is_unspecified,
        "multicast": address.is_multicast,
        "loopback": address.is_loopback,
        "broadcast": str(address) == "255.255.255.255",
    }
    return next((kind for kind, holds in kinds.items() if holds), "unicast")


def is_network(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def check(answers: list[dict[str, str]]) -> None:
    for answer in answers:
        text = answer["text"]
        assert answer["kindOfAddress"] == kind_of(text), text
        if (address := address_of(text)) is not None:
            read_address = yaml.safe_load(answer["readAddress"])
            width = 8 if address.version == 4 else 16
            number = sum(part << width * at for at, part in enumerate(reversed(read_address["parts"])))
            assert (read_address["family"], number) == (address.version, int(address)), text
        if re.search(r"/\d+$", text) or "/" not in text:
            assert (answer["isNetwork"] == "yes") == is_network(text), text
        fits = len(text) <= 253 and is_host_name(text)
        assert (answer["isHostName"] == "yes") == fits, text
        assert (answer["isHost"] == "yes") == (kind_of(text) in {"unicast", "loopback"} if address else fits), text
        key = len(text) <= MAX_LABEL_KEY and re.fullmatch(LABEL_KEY, text) is not None
        assert (answer["isLabelKey"] == "yes") == key, text
        assert (answer["isLabelValue"] == "yes") == (len(text) <= 63 and re.fullmatch(LABEL_VALUE, text) is not None)


def test_the_readers_agree_with_those_of_the_product(read: Callable[[list[str]], list[dict[str, str]]]) -> None:
    check(read([*ADDRESSES, *NETWORKS, *NAMES]))


def drawn_text(draw: random.Random) -> str:
    """Return an address, a network, one with host bits, or a text of their characters."""
    bits = draw.choice((32, 128))
    number = draw.getrandbits(bits) & (draw.getrandbits(bits) | draw.getrandbits(bits))
    address = ipaddress.IPv4Address(number) if bits == 32 else ipaddress.IPv6Address(number)
    prefix = draw.randrange(bits + 2)
    kinds = (
        str(address),
        f"{address}/{prefix}",
        str(ipaddress.ip_network(f"{address}/{min(prefix, bits)}", strict=False)),
        "".join(draw.choices("0123456789abcdef.:/", k=draw.randrange(1, 24))),
    )
    return draw.choice(kinds)


def test_they_agree_about_drawn_addresses_and_networks(read: Callable[[list[str]], list[dict[str, str]]]) -> None:
    draw = random.Random(14)
    check(read([drawn_text(draw) for _ in range(400)]))


def test_an_address_is_in_the_networks_that_hold_it(read: Callable[[list[str]], list[dict[str, str]]]) -> None:
    networks = [text for text in NETWORKS if is_network(text)] + ["127.0.0.1", "::1"]
    addresses = [text for text in ADDRESSES if address_of(text) is not None]
    pairs = {f"{network},{address}": (network, address) for network in networks for address in addresses}
    for answer in read(list(pairs)):
        network, address = pairs[answer["text"]]
        holds = ipaddress.ip_address(address) in ipaddress.ip_network(network)
        assert (answer["isInNetwork"] == "yes") == holds, (network, address)


def test_a_quantity_is_read_as_kubernetes_reads_it(read: Callable[[list[str]], list[dict[str, str]]]) -> None:
    answers = {answer["text"]: answer["readQuantity"] for answer in read(list(QUANTITIES))}
    assert {text: float(answer) if answer else None for text, answer in answers.items()} == QUANTITIES


def test_the_name_of_an_object_has_labels_of_dns_between_dots(
    read: Callable[[list[str]], list[dict[str, str]]],
) -> None:
    named = {answer["text"]: answer["isObjectName"] == "yes" for answer in read(["a", "a.b", "1", "a..b", "a.-b", "A"])}
    assert named == {"a": True, "a.b": True, "1": True, "a..b": False, "a.-b": False, "A": False}
