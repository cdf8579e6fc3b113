"""The audit log of a kind cluster: its policy in the control plane, the bound of its files, and its lines.

kind mounts the policy from this machine into the control plane's container, and kubeadm mounts both into the pod of
the API server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.base.errors import LabError
from lab.base.steps import ask
from lab.cluster.kind.node_loading import roles_of

CONTROL_PLANE = "control-plane"
POLICY_FILE = "/etc/kubernetes/audit/policy.json"
LOG_FOLDER = "/var/log/kubernetes/audit"
LOG = "audit.log"
# The tests on the cluster log some 4 kB a second, so one file holds four hours. The server deletes older files.
MAX_FILE_MIB = 64
MAX_OLDER_FILES = 3
READ_SECONDS = 60.0


def policy_mount(policy: Path) -> dict[str, Any]:
    """Return kind's mount of the policy into the control plane."""
    return {"hostPath": str(policy), "containerPath": POLICY_FILE, "readOnly": True}


def audited_api_server() -> dict[str, Any]:
    """Return the patch of kubeadm's configuration. kind converts its arguments for newer versions of kubeadm."""
    return {
        "kind": "ClusterConfiguration",
        "apiServer": {
            "extraArgs": {
                "audit-policy-file": POLICY_FILE,
                "audit-log-path": f"{LOG_FOLDER}/{LOG}",
                "audit-log-maxsize": str(MAX_FILE_MIB),
                "audit-log-maxbackup": str(MAX_OLDER_FILES),
            },
            "extraVolumes": [
                _volume("audit-policy", POLICY_FILE, "File", read_only=True),
                _volume("audit-log", LOG_FOLDER, "DirectoryOrCreate", read_only=False),
            ],
        },
    }


def read_audit_log(cluster: str) -> list[str]:
    """Return the complete lines of all files of the audit log, in no order.

    Raises:
        LabError: the cluster has no control plane in this machine's engine, or no audit log.
    """
    nodes = [name for name, role in roles_of(cluster).items() if role == CONTROL_PLANE]
    if not nodes:
        raise LabError(f"audit log: cluster {cluster} has no control plane in this machine's engine")
    # The server renames a full file audit-<time>.log.
    script = f"cat {LOG_FOLDER}/{Path(LOG).stem}*.log"
    answer = ask(["docker", "exec", nodes[0], "sh", "-c", script], seconds=READ_SECONDS)
    if answer.returncode != 0:
        raise LabError(f"audit log: {nodes[0]}: {answer.stderr.strip()}. `make up` creates a cluster that has one")
    return complete_lines(answer.stdout)


def complete_lines(text: str) -> list[str]:
    """Return the lines of a file that is still written, without a last one that has no end yet."""
    return text[: text.rfind("\n") + 1].splitlines()


def _volume(name: str, path: str, kind: str, *, read_only: bool) -> dict[str, Any]:
    return {"name": name, "hostPath": path, "mountPath": path, "pathType": kind, "readOnly": read_only}
