"""Scan the rendered chart with checkov. Every finding has a reason here, or the scan fails.

checkov needs some 80 packages that nothing else here needs, so it has an environment of its own in .cache/checkov.

    HELM=helm .venv/bin/python tools/scan_chart.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements/checkov.txt"
ENVIRONMENT = ROOT / ".cache/checkov"
ECHO_AND_RELAY = ("DaemonSet/rtp-echo", "DaemonSet/rtp-relay")
OPERATOR, JOB, TEST = "Deployment/rtp-operator", "Job/rtp-crd-upgrade", "Pod/rtp-test"
DIGEST = "sha256:" + "0" * 64

# What a careful administrator sets. The defaults can't know a digest, and policies need a network that applies them.
HARDENED = (
    "image.registry=registry.example.com",
    "image.pullPolicy=Always",
    "httpToken.existingSecret=token",
    "operator.networkPolicy.enabled=true",
    *(f"{of}.image.digest={DIGEST}" for of in ("echo", "relay", "operator")),
)
REAL_TIME = (*HARDENED, "realTime=true", "ari.existingSecret=asterisk")

Findings = set[tuple[str, str]]
# By check: the pods and the reason.
ACCEPTED: dict[str, tuple[tuple[str, ...], str]] = {
    "CKV_K8S_19": (ECHO_AND_RELAY, "host network: a range of UDP ports can't be a Service"),
    "CKV_K8S_26": (ECHO_AND_RELAY, "hostPort: the scheduler then keeps a second program off these ports"),
    "CKV_K8S_11": (
        (*ECHO_AND_RELAY, OPERATOR, JOB, TEST),
        "no CPU limit: throttling is latency, and a throttled operator loses its lease",
    ),
    "CKV_K8S_38": ((OPERATOR, JOB, TEST), "a token of the API server: these programs use the API server"),
    "CKV_K8S_8": ((TEST,), "no liveness probe: the pod ends by itself"),
    "CKV_K8S_9": ((TEST,), "no readiness probe: the pod ends by itself"),
    "CKV2_K8S_6": (
        ("Pod/rtp-echo", "Pod/rtp-relay", TEST),
        "no NetworkPolicy: it does not apply to the host network, and the test ends by itself",
    ),
}
ACCEPTED_WITH_REAL_TIME = {
    **ACCEPTED,
    "CKV_K8S_23": (ECHO_AND_RELAY, "root: only root can use a capability of a container, and realTime is opt-in"),
    "CKV_K8S_40": (ECHO_AND_RELAY, "a low user id: the same"),
    "CKV_K8S_25": (ECHO_AND_RELAY, "an added capability: SYS_NICE, which realTime is for"),
}


def main() -> int:
    """Scan both renderings; return 1 after a finding without a reason, or a reason without a finding."""
    checkov = installed()
    wrong = [
        *compare(scan(checkov, HARDENED), ACCEPTED),
        *compare(scan(checkov, REAL_TIME), ACCEPTED_WITH_REAL_TIME),
    ]
    print("\n".join(wrong) or "scan: every finding of checkov has a reason in tools/scan_chart.py")
    return 1 if wrong else 0


def installed() -> Path:
    """Return the program, after making its environment where that is missing or older than its requirements."""
    stamp = ENVIRONMENT / "requirements.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        print("scan: installing checkov (a minute or so, once)", flush=True)
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = (ENVIRONMENT / "bin/pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes")
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        stamp.write_bytes(REQUIREMENTS.read_bytes())
    return ENVIRONMENT / "bin/checkov"


def scan(checkov: Path, values: Iterable[str]) -> Findings:
    """Return the failed checks of a rendering, with the object of each."""
    settings = [word for value in values for word in ("--set", value)]
    render = (os.environ.get("HELM", "helm"), "template", "rtp", ROOT / "charts/rtp-pool", "--namespace", "voice")
    rendered = subprocess.run([*render, *settings], check=True, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chart.yaml"
        file.write_bytes(rendered.stdout)
        words = ("--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--output", "json")
        # 1 is the code of a scan with findings.
        done = subprocess.run([checkov, *words, "--file", file], check=False, capture_output=True, cwd=folder)
    if done.returncode not in {0, 1}:
        sys.exit(done.stderr.decode(errors="replace"))
    failed = json.loads(done.stdout)["results"]["failed_checks"]
    return {(check["check_id"], shown(check["resource"])) for check in failed}


def shown(resource: str) -> str:
    """Return `DaemonSet/rtp-echo` for checkov's DaemonSet.voice.rtp-echo and labels after it."""
    kind, _, name, *_ = resource.split(".")
    return f"{kind}/{name}"


def compare(found: Findings, accepted: Mapping[str, tuple[tuple[str, ...], str]]) -> list[str]:
    """Return a sentence for each finding without a reason, and for each reason without a finding."""
    expected = {(check, name) for check, (names, _) in accepted.items() for name in names}
    return [
        *(f"{check} fails for {name}: mend it, or give the reason" for check, name in sorted(found - expected)),
        *(f"{check} does not fail for {name}: take the exception away" for check, name in sorted(expected - found)),
    ]


if __name__ == "__main__":
    sys.exit(main())
