"""Asterisk on every worker and a SIP caller on one of them."""

from __future__ import annotations

import json
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kube import PHONES, Kube, wait_for

from lab.cluster.images.phone_images import ASTERISK, SIPP
from rtppool_core.rtp.header import RtpHeader, parse

HERE = Path(__file__).parent
CALLER_RTP_PORT = 30000
CAPTURE = "/tmp/call.pcap"  # noqa: S108 in the caller's own container
ULAW_SAMPLES = 160

# pcap's global and per-packet headers (draft-ietf-opsawg-pcap), Ethernet, UDP, IPv4 without options, IPv6
_GLOBAL_BYTES, _ETHERNET_BYTES, _UDP_BYTES = 24, 14, 8
_IP_BYTES = {4: 20, 6: 40}
_RECORD = struct.Struct("<IIII")


@dataclass(frozen=True, slots=True)
class CallerCapture:
    """RTP packets of one call at the caller's network interface, with their headers."""

    sent: tuple[tuple[RtpHeader, bytes], ...]
    received: tuple[tuple[RtpHeader, bytes], ...]


@dataclass(frozen=True, slots=True)
class Phones:
    """Asterisk's ARI user and the node where the caller is."""

    node: str
    user: str
    password: str


def deploy(kube: Kube, node: str, *, ipv6: bool = False) -> Phones:
    """Deploy Asterisk on every worker and the caller on `node`. Return when ARI listens.

    With `ipv6`, Asterisk listens on IPv6 as well.
    """
    password = secrets.token_urlsafe(18)
    kube.kubectl("delete", "namespace", PHONES, "--ignore-not-found", "--wait", seconds=120)
    kube.kubectl("create", "namespace", PHONES)
    files = {path.name: path.read_text() for path in (HERE / "asterisk").glob("*.conf")}
    files["ari.conf"] = files["ari.conf"].replace("@ARI_PASSWORD@", password)
    if ipv6:
        files["http.conf"] = files["http.conf"].replace("0.0.0.0", "::")
        files["pjsip.conf"] += "\n[udp6]\ntype = transport\nprotocol = udp\nbind = [::]:5060\n"
    _apply(kube, {"kind": "Secret", "metadata": {"name": "asterisk"}, "stringData": files})
    scenario = {"call.xml": (HERE / "sipp/call.xml").read_text()}
    _apply(kube, {"kind": "ConfigMap", "metadata": {"name": "scenario"}, "data": scenario})
    manifest = (HERE / "manifests/asterisk.yaml").read_text()
    for name, value in (("@NODE@", node), ("@ASTERISK@", ASTERISK), ("@SIPP@", SIPP)):
        manifest = manifest.replace(name, value)
    kube.kubectl("apply", "--filename", "-", input_text=manifest)
    kube.kubectl("rollout", "status", "daemonset/asterisk", "--namespace", PHONES, "--timeout", "120s", seconds=130)
    kube.kubectl("wait", "pod/caller", "--namespace", PHONES, "--for=condition=Ready", "--timeout", "60s", seconds=70)
    return Phones(node, "relay", password)


def start_call(kube: Kube, seconds: int, host: str = "127.0.0.1") -> None:
    """Start a call to a loopback address and a packet capture in the background of the caller's container."""
    own = host.strip("[]")
    tone = "head -c 16000 /dev/urandom >/tmp/tone.ul"
    capture = f"tcpdump -i lo -U -Z root -w {CAPTURE} udp port {CALLER_RTP_PORT}"
    watch = f"{capture} >/tmp/tcpdump.log 2>&1 & echo $! >/tmp/tcpdump.pid"
    call = (
        f"sipp -sf /scenario/call.xml -s 1000 {host}:5060 -i {own} -p 5070 -mi {own} "
        f"-mp {CALLER_RTP_PORT} -m 1 -l 1 -d {seconds * 1000} -nostdin -timeout {seconds + 20} -timeout_error"
    )
    script = (
        f"rm -f /tmp/done {CAPTURE}; {tone}; {watch}; sleep 1; cd /tmp; {call} >/tmp/sipp.log 2>&1; code=$?; "
        "sleep 1; kill $(cat /tmp/tcpdump.pid); sleep 0.5; echo $code >/tmp/done"
    )
    kube.kubectl(*_in_caller(f"rm -f /tmp/done; (setsid sh -c '{script}' >/dev/null 2>&1 &)"))


def end_of_call(kube: Kube, seconds: int) -> CallerCapture:
    """Wait for the hang-up and return the captured packets.

    Raises:
        AssertionError: SIPp failed; the message has the end of its log.
    """
    code = wait_for(lambda: kube.kubectl(*_in_caller("cat /tmp/done")).strip() or None, "the caller hung up", seconds)
    if code != "0":
        log = kube.kubectl(*_in_caller("tail -n 40 /tmp/sipp.log"))
        raise AssertionError(f"sipp ended with {code}:\n{log}")
    packets = list(_packets(kube.raw(*_in_caller(f"cat {CAPTURE}"))))
    return CallerCapture(
        sent=tuple((parse(data), data) for source, _, data in packets if source == CALLER_RTP_PORT),
        received=tuple((parse(data), data) for _, target, data in packets if target == CALLER_RTP_PORT),
    )


def payload(packet: tuple[RtpHeader, bytes]) -> bytes:
    """Return the payload of a packet."""
    header, data = packet
    return data[header.payload_offset : header.payload_offset + header.payload_bytes]


def run_in_asterisk(kube: Kube, node: str, command: str) -> str:
    """Run `asterisk -rx` on a node and return its output."""
    pods = kube.get("pods", "--namespace", PHONES, "--selector", "app=asterisk")["items"]
    pod = next(pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == node)
    return kube.kubectl("exec", "--namespace", PHONES, pod, "--", "asterisk", "-rx", command)


def _in_caller(script: str) -> list[str]:
    return ["exec", "--namespace", PHONES, "caller", "--", "sh", "-c", script]


def _apply(kube: Kube, manifest: dict[str, object]) -> None:
    document = {"apiVersion": "v1", **manifest}
    kube.kubectl("apply", "--namespace", PHONES, "--filename", "-", input_text=json.dumps(document))


def _packets(capture: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield source port, destination port and payload of each UDP packet."""
    at = _GLOBAL_BYTES
    while at + _RECORD.size <= len(capture):
        length = _RECORD.unpack_from(capture, at)[2]
        at += _RECORD.size
        ip = capture[at + _ETHERNET_BYTES : at + length]
        udp = ip[_IP_BYTES[ip[0] >> 4] :]
        source, target = struct.unpack_from("!HH", udp)
        yield source, target, udp[_UDP_BYTES:]
        at += length
