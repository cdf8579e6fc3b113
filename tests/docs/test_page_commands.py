"""Every command of README.md, docs/install.md and docs/troubleshooting.md is run by `make e2e`, or has a reason."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from page_commands import (
    COMMANDS,
    NOT_RUN,
    OTHER_LANGUAGES,
    PAGES,
    PROGRAMS,
    ROOT,
    TROUBLESHOOTING,
    commands,
    fences,
    inline_commands,
)

from lab.cluster.versions import MIN_HELM
from lab.screenshot import FOLDER, MAX_BYTES, PICTURES

VALUES = ROOT / "charts/rtp-pool/values.yaml"
# `make e2e` writes the transcript from commands that it ran.
TRANSCRIPT = ROOT / "docs/transcript.md"
HELM_PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").glob("*.md")} - {TRANSCRIPT})]
HELM_COMMAND = re.compile(r"\s*(\$ )?helm (install|upgrade)\b")
FLAGS_OF_VALUES = ("--set", "--set-json", "--set-string")


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_a_command_can_stand_in_no_other_fence(page: str) -> None:
    assert {language for language, _ in fences(text_of(page))} <= OTHER_LANGUAGES | {COMMANDS}
    for language, block in fences(text_of(page)):
        if language != COMMANDS:
            assert not [line for line in block.splitlines() if line.lstrip("$ ").startswith(PROGRAMS)]


# Commands in the tables of troubleshooting are for states that a sound release has not.
@pytest.mark.parametrize("page", [page for page in PAGES if page != TROUBLESHOOTING])
def test_a_command_inside_a_sentence_is_one_of_the_fences_or_has_a_reason(page: str) -> None:
    fenced = commands("\n".join(map(text_of, PAGES)))
    for command in inline_commands(text_of(page)):
        assert command in NOT_RUN or any(each.startswith(command) for each in fenced), command


def test_every_reason_belongs_to_a_command_of_the_pages() -> None:
    used = {command for page in PAGES for command in (*commands(text_of(page)), *inline_commands(text_of(page)))}
    assert used >= NOT_RUN.keys()
    assert all(reason.endswith(".") for reason in NOT_RUN.values())


def test_commands_over_several_lines_are_one_command() -> None:
    text = "```sh\n# comment\nhelm install a \\\n  --wait\nkubectl patch \"$(jq 'x\ny')\"  # note\n\nmake run\n```\n"
    assert commands(text) == ["helm install a \\\n  --wait", "kubectl patch \"$(jq 'x\ny')\"  # note", "make run"]


def test_inline_commands_need_an_argument() -> None:
    assert inline_commands("`helm` and `helm uninstall`, `makefile x`\n```sh\nmake run\n```\n") == ["helm uninstall"]


def helm_commands() -> list[tuple[str, str]]:
    """The commands of helm on all pages that may set values, and their page."""
    return [
        (page.name, line)
        for page in HELM_PAGES
        for _, block in fences(page.read_text())
        for line in block.replace("\\\n", " ").splitlines()
        if HELM_COMMAND.match(line)
    ]


@pytest.mark.parametrize(("page", "command"), helm_commands())
def test_the_chart_accepts_the_values_of_every_helm_command(page: str, command: str) -> None:
    helm = os.environ.get("HELM", shutil.which("helm"))
    if helm is None:
        pytest.skip("not run: no helm; make test fetches it")
    words = shlex.split(command)
    given = [word for at, word in enumerate(words) if word in FLAGS_OF_VALUES or words[at - 1] in FLAGS_OF_VALUES]
    needed = ["--set", "image.registry=registry.example.com,httpToken.existingSecret=rtp-http-token"]
    done = subprocess.run(  # noqa: S603 make's helm
        [helm, "template", "rtp", str(ROOT / "charts/rtp-pool"), "--namespace", "rtp-pool", *needed, *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"


def value_of(place: str) -> object:
    value: object = yaml.safe_load(VALUES.read_text())
    for key in place.split("."):
        assert isinstance(value, dict), place
        assert key in value, place
        value = value[key]
    return value


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    _, _, below = text_of(page).partition(f"\n## {heading}\n")
    lines = [line for line in below.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_values_of_the_page_exist() -> None:
    cells = " ".join(row[0] for row in rows("docs/install.md", "The values that matter"))
    named = re.findall(r"`((?:[a-z]\w*\.)+\w+|portRange|realTime)`", cells)
    assert len(named) > 14
    for place in named:
        value_of(place.removesuffix(".spec") if place == "defaultPool.spec" else place)


def test_the_firewalls_ports_are_the_charts() -> None:
    found = rows("docs/install.md", "Firewall")
    assert len(found) == 10
    checked = set()
    for port, cell, *_ in found:
        place = cell.strip("`")
        number = port.partition(" ")[2]
        match place:
            case "as above" | "-":
                continue
            case "portRange":
                assert number == "{start}-{end}".format(**value_of(place))  # type: ignore[arg-type]
            case "relay.echo.port":
                assert value_of(place) is None, "null is echo.port"
                assert number == str(value_of("echo.port"))
            case "ari.url":
                assert f":{number}/" in str(value_of(place))
            case "operator.networkPolicy.apiServerPorts":
                assert number == " and ".join(map(str, value_of(place)))  # type: ignore[call-overload]
            case _:
                assert number == str(value_of(place))
        checked.add(place)
    assert {"portRange", "echo.port", "relay.httpPort", "echo.httpPort", "operator.httpPort"} <= checked


def test_the_requirements_are_those_of_chart_and_tooling() -> None:
    needs = [row[0] for row in rows("docs/install.md", "Requirements")]
    chart = yaml.safe_load((ROOT / "charts/rtp-pool/Chart.yaml").read_text())
    assert f">={needs[0].split()[1]}.0-0" == chart["kubeVersion"]
    assert needs[1].split()[1] == ".".join(map(str, MIN_HELM))
    (memory,) = [need for need in needs if "MiB" in need]
    asked = [str(value_of(f"{each}.resources.requests.memory")) for each in ("relay", "echo", "operator")]
    assert [f"{number}Mi" for number in re.findall(r"(\d+) MiB", memory)] == asked
    (asterisk,) = [need for need in needs if need.startswith("Asterisk")]
    versions = re.findall(r"\d+\.\d+", asterisk)
    assert versions == re.findall(r"\d+\.\d+", text_of("docs/asterisk.md").splitlines()[2])[:2]


def test_the_readme_begins_with_the_question_it_answers_and_a_small_picture() -> None:
    head = "\n".join(text_of("README.md").splitlines()[:10])
    assert all(words in head for words in ("each call and each Kubernetes node", "milliseconds", "one of four causes"))
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+\.png)\)", head)
    assert ROOT / picture == FOLDER / PICTURES[0].name
    for each in PICTURES:
        content = (FOLDER / each.name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) <= MAX_BYTES
