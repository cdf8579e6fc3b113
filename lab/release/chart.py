"""The chart as a release has it: with its registry, and with the images for a catalogue."""

from __future__ import annotations

from pathlib import Path

import yaml

from lab.base.errors import LabError
from lab.cluster.images.product_images import COMPONENTS

IMAGES = "artifacthub.io/images"


def add_registry(chart: Path, registry: str, version: str) -> None:
    """Make `registry` the default of image.registry, and list the images in the annotation of Artifact Hub.

    Raises:
        LabError: a file of the chart has no place for them.
    """
    replace_once(chart / "values.yaml", '\n  registry: ""\n', f"\n  registry: {registry}\n")
    replace_once(chart / "README.md", '| `image.registry` | `""` |', f"| `image.registry` | `{registry}` |")
    facts = chart / "Chart.yaml"
    facts.write_text(with_images(facts.read_text(encoding="utf-8"), registry, version), encoding="utf-8")


def replace_once(file: Path, old: str, new: str) -> None:
    """Replace a text that a file has once.

    Raises:
        LabError: the file has it more often, or not at all.
    """
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise LabError(f"{file.name} has {text.count(old)} places with {old.strip()}; accepted is one")
    file.write_text(text.replace(old, new), encoding="utf-8")


def with_images(text: str, registry: str, version: str) -> str:
    """Return a Chart.yaml with the images as an annotation."""
    facts = yaml.safe_load(text)
    images = [{"name": name, "image": f"{registry}/rtp-pool/{name}:{version}"} for name in COMPONENTS]
    facts["annotations"][IMAGES] = yaml.safe_dump(images, sort_keys=False)
    return yaml.safe_dump(facts, sort_keys=False, width=10_000)
