"""YAML whose mappings have each key once. Helm takes the last of two, and strict appliers refuse the object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml


class StrictLoader(yaml.CSafeLoader):
    """Refuses a repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping.

        Raises:
            yaml.constructor.ConstructorError: a key stands twice.
        """
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def load_all(text: str) -> Iterator[Any]:
    """Return the documents of a text."""
    yield from yaml.load_all(text, StrictLoader)
