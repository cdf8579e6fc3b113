"""The reasons of each condition in the order of their checks. A test compares docs/conditions.md with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Status = Literal["True", "False", "Unknown"]


class Reason(NamedTuple):
    """The status of the condition, and sentences for the page; empty where no action is needed, or another has it."""

    status: Status
    remedy: str = ""


# Every condition that needs the relays' measurements has these: without a report it is Unknown.
UNSERVED: Mapping[str, Reason] = {
    "NoRelays": Reason("Unknown", "Label nodes, or check the relay DaemonSet (kubectl get daemonset)."),
    "IncompatibleRelay": Reason("Unknown", "Upgrade operator and relays with the same chart."),
    "RelaySilent": Reason(
        "Unknown", "The message has the error. Check the relay's pod and network policies for its HTTP port."
    ),
    "NotProgrammed": Reason("Unknown"),
}
REASONS_OF: Mapping[str, Mapping[str, Reason]] = {
    "Accepted": {
        "NamespaceNotHonoured": Reason(
            "False",
            "The administrator of the release adds the namespace to operator.poolNamespaces, or deletes the pool. "
            "See docs/security.md.",
        ),
        "Invalid": Reason("False", "Correct the field. Until then relays keep their configuration."),
        "NotAllowed": Reason(
            "False",
            "Use a listed host, or extend operator.allowedEchoHosts or operator.allowedAdvertiseAddresses. "
            "Until then relays keep their configuration.",
        ),
        "Conflicted": Reason(
            "False",
            "Delete one of them, or give this pool a nodeSelector: it takes precedence over a pool without one.",
        ),
        "NoAddress": Reason("False", "Use HostIP or Static, or let the cloud assign external addresses to the nodes."),
        "Accepted": Reason("True"),
    },
    "Conflicted": {
        "NodeOwned": Reason("True", "Make the selectors disjoint. Precedence decides until then."),
        "Preferred": Reason("False", "No action is needed: the other pools have NodeOwned."),
        "NoConflict": Reason("False"),
    },
    "Programmed": {
        "Paused": Reason("False", "Set paused to false to send the edit."),
        "ConfigRefused": Reason(
            "False",
            "The message has the relay's error. The relay is mostly older than the operator: complete the upgrade.",
        ),
        "Pending": Reason(
            "False", "Wait about a second. If it persists, check that relay's log and the ConfigMap rtp-relay-config."
        ),
        "NoRelays": UNSERVED["NoRelays"],
        "MissingRelay": Reason(
            "False", "Check the relay pods on those nodes: taints, resources, a port in use by another pod."
        ),
        "IncompatibleRelay": UNSERVED["IncompatibleRelay"],
        "RelaySilent": UNSERVED["RelaySilent"],
        "Programmed": Reason("True"),
    },
    "PortsAvailable": {
        "None": Reason("False", "Another program uses the ports, and the message names the first. Move the range."),
        "Partial": Reason("False", "Add them to excludedPorts, or stop the program that uses them."),
        **UNSERVED,
        "Available": Reason("True"),
    },
    "EchoReachable": {
        "Unreachable": Reason("False", "Check the echo's pod, echo.host and echo.port, and firewalls for UDP."),
        **UNSERVED,
        "NothingSent": Reason("Unknown", "Switch the probe on, or correct echo.host."),
        "Reachable": Reason("True"),
    },
    "AsteriskConnected": {
        "Unreachable": Reason("False", "Check Asterisk, its http.conf, and the chart's ari.url."),
        "Unauthorized": Reason("False", "Compare the Secret with ari.conf."),
        "Replaced": Reason("False", "Stop that program: an application has one subscriber."),
        **UNSERVED,
        "NotConfigured": Reason("False", "Set ari.existingSecret once there is an Asterisk, see docs/asterisk.md."),
        "Connected": Reason("True"),
    },
    "SLAMet": {
        "LimitExceeded": Reason(
            "False", "status.sla has relay, limit and figure. The relay's /sla page has the cause. See docs/sla.md."
        ),
        **UNSERVED,
        "NoPackets": Reason("Unknown", "Wait 5 s. If it persists, Asterisk sends no packets: see the relay's /calls."),
        "TooFewSamples": Reason("Unknown", "Wait, or lower sla.minSamples."),
        "NotMeasured": Reason("Unknown", "See the relay's /sla and /calls."),
        "NotJudged": Reason("Unknown", "The message has the relay's reason. Upgrade the operator."),
        "NoCalls": Reason("Unknown"),
        "WithinLimits": Reason("True"),
    },
    "Draining": {
        "RelayStopping": Reason(
            "True",
            "Wait: they end at the latest after drain.timeoutSeconds or the pod's grace period. "
            "With relay.onStop=HandOver the next relay on the node adopts them.",
        ),
        "CallsOutsideRange": Reason("True", "Wait until they end. No call is cut."),
        **UNSERVED,
        "NotDraining": Reason("False"),
    },
}
