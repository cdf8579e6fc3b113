"""The templates of a package: Jinja2 with autoescape. They are loaded and compiled with the first page."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Templates:
    """The folder `templates` of a package. A name that a template uses and does not have is an error."""

    package: str

    @cached_property
    def _environment(self) -> Environment:
        # Importing Jinja2 takes as long as a tenth of the relay's start, and most programs never show a page.
        jinja2 = importlib.import_module("jinja2")
        environment: Environment = jinja2.Environment(
            loader=jinja2.PackageLoader(self.package),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        return environment

    def render(self, name: str, **values: Any) -> str:
        """Return a page as HTML text."""
        return self._environment.get_template(name).render(values)
