"""`http.tlsSecret`, and the notes on Pod Security."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chart_values import BASE, set_values

PODS = (("DaemonSet", "rtp-echo"), ("DaemonSet", "rtp-relay"), ("Deployment", "rtp-operator"))
FOLDER = "/var/run/secrets/rtp-pool/tls"
VALUES = {"http.tlsSecret": "rtp-tls"}


@pytest.mark.parametrize(("kind", "name"), PODS)
@pytest.mark.parametrize("values", [VALUES, VALUES | {"httpToken.enabled": False}], ids=["token", "no-token"])
def test_every_program_serves_tls_with_the_whole_secret(render: Any, kind: str, name: str, values: Any) -> None:
    rendered = render(values)
    container = rendered.container(kind, name)
    assert rendered.environment(kind, name)["HTTP_TLS_DIR"] == FOLDER
    assert {each["name"]: each["mountPath"] for each in container["volumeMounts"]}["http-tls"] == FOLDER
    volumes = {each["name"]: each for each in rendered.pod(kind, name)["spec"]["volumes"]}
    assert volumes["http-tls"]["secret"] == {"secretName": "rtp-tls", "defaultMode": 0o440}


@pytest.mark.parametrize(("kind", "name"), PODS)
def test_the_probes_use_tls_where_the_programs_do(render: Any, defaults: Any, kind: str, name: str) -> None:
    for rendered, scheme in ((render(VALUES), "HTTPS"), (defaults, None)):
        container = rendered.container(kind, name)
        probes = [container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")]
        assert [probe.get("scheme") for probe in probes] == [scheme] * 3


def test_the_scrape_annotations_name_the_scheme(render: Any) -> None:
    annotations = render(VALUES).pod("DaemonSet", "rtp-echo")["metadata"]["annotations"]
    assert annotations["prometheus.io/scheme"] == "https"


def test_the_operator_checks_the_relays_by_authority_and_name(render: Any, defaults: Any) -> None:
    variables = render(VALUES).environment("Deployment", "rtp-operator")
    assert variables["RELAY_CA_FILE"] == f"{FOLDER}/ca.crt"
    assert variables["RELAY_TLS_NAME"] == "rtp.voice.svc"
    other = render(VALUES | {"http.serverName": "relays.example.com"}).environment("Deployment", "rtp-operator")
    assert other["RELAY_TLS_NAME"] == "relays.example.com"
    assert not {"RELAY_CA_FILE", "HTTP_TLS_DIR"} & set(defaults.environment("Deployment", "rtp-operator"))


def notes(helm: Any, chart: Path, *options: str) -> str:
    words = ("install", "rtp", chart, "--namespace", "voice", "--dry-run=client", *set_values(BASE))
    done = helm(*words, *options)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).partition("NOTES:")[2]


def test_the_notes_name_the_level_of_pod_security_and_the_certificate_s_name(helm: Any, chart: Path) -> None:
    label = "kubectl label namespace voice pod-security.kubernetes.io/enforce=privileged"
    assert label in notes(helm, chart)
    assert label in (chart.parents[1] / "README.md").read_text().replace("namespace rtp-pool", "namespace voice")
    assert "TLS" not in notes(helm, chart)
    with_tls = notes(helm, chart, "--set", "http.tlsSecret=rtp-tls")
    assert "Secret rtp-tls must have the DNS name\nrtp.voice.svc" in with_tls
