"""The remedy of each reason, as sentences for the page. A test compares them with docs/conditions.md.

A reason that several conditions share has its remedy at `Programmed`.
"""

from __future__ import annotations

from collections.abc import Mapping

REMEDIES: Mapping[str, Mapping[str, str]] = {
    "Accepted": {
        "NamespaceNotHonoured": (
            "The administrator of the release adds the namespace to operator.poolNamespaces, or "
            "deletes the pool. See docs/security.md."
        ),
        "Invalid": "Correct the field. Until then relays keep their configuration.",
        "NotAllowed": (
            "Use a listed host, or extend operator.allowedEchoHosts or "
            "operator.allowedAdvertiseAddresses. Until then relays keep their configuration."
        ),
        "Conflicted": (
            "Delete one of them, or give this pool a nodeSelector: it takes precedence over a pool without one."
        ),
        "NoAddress": "Use HostIP or Static, or let the cloud assign external addresses to the nodes.",
    },
    "Conflicted": {
        "NodeOwned": "Make the selectors disjoint. Precedence decides until then.",
        "Preferred": "No action is needed: the other pools have NodeOwned.",
    },
    "Programmed": {
        "Paused": "Set paused to false to send the edit.",
        "ConfigRefused": (
            "The message has the relay's error. The relay is mostly older than the operator: complete the upgrade."
        ),
        "Pending": ("Wait about a second. If it persists, check that relay's log and the ConfigMap rtp-relay-config."),
        "NoRelays": "Label nodes, or check the relay DaemonSet (kubectl get daemonset).",
        "MissingRelay": ("Check the relay pods on those nodes: taints, resources, a port in use by another pod."),
        "IncompatibleRelay": "Upgrade operator and relays with the same chart.",
        "RelaySilent": ("The message has the error. Check the relay's pod and network policies for its HTTP port."),
    },
    "PortsAvailable": {
        "None": "Another program uses the ports, and the message names the first. Move the range.",
        "Partial": "Add them to excludedPorts, or stop the program that uses them.",
    },
    "EchoReachable": {
        "Unreachable": "Check the echo's pod, echo.host and echo.port, and firewalls for UDP.",
        "NothingSent": "Switch the probe on, or correct echo.host.",
    },
    "AsteriskConnected": {
        "Unreachable": "Check Asterisk, its http.conf, and the chart's ari.url.",
        "Unauthorized": "Compare the Secret with ari.conf.",
        "Replaced": "Stop that program: an application has one subscriber.",
        "NotConfigured": "Set ari.existingSecret once there is an Asterisk, see docs/asterisk.md.",
    },
    "SLAMet": {
        "LimitExceeded": (
            "status.sla has relay, limit and figure. The relay's /sla page has the cause. See docs/sla.md."
        ),
        "NoPackets": "Wait 5 s. If it persists, Asterisk sends no packets: see the relay's /calls.",
        "TooFewSamples": "Wait, or lower sla.minSamples.",
        "NotMeasured": "See the relay's /sla and /calls.",
        "NotJudged": "The message has the relay's reason. Upgrade the operator.",
    },
    "Draining": {
        "RelayStopping": (
            "Wait: they end at the latest after drain.timeoutSeconds or the pod's grace period. "
            "With relay.onStop=HandOver the next relay on the node adopts them."
        ),
        "CallsOutsideRange": "Wait until they end. No call is cut.",
    },
}


def find_remedy(kind: str, reason: str) -> str:
    """Return the remedy; empty where no action is needed, or where another condition has it."""
    own = REMEDIES.get(kind, {})
    return own.get(reason) or (REMEDIES["Programmed"].get(reason, "") if kind != "Ready" else "")
