"""The files of ours that a module is made of: its own, and all that it imports from its package and from core."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import rtppool_core


def reached_by(package: ModuleType, module: str) -> set[Path]:
    """Return the files that `module` of a package imports, also through other files."""
    folders = {each.__name__: Path(each.__file__ or "").parent for each in (rtppool_core, package)}
    reached: set[Path] = set()
    waiting = {folders[package.__name__] / f"{module}.py"}
    while waiting:
        file = waiting.pop()
        reached.add(file)
        waiting |= _imported(file, folders) - reached
    return reached


def _imported(file: Path, folders: dict[str, Path]) -> set[Path]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".") for name in names]
    places = (
        folders[package].joinpath(*rest).with_suffix(".py") for package, *rest in parts if package in folders and rest
    )
    return {place for place in places if place.exists()}
