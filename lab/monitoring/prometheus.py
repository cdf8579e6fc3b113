"""A client of Prometheus' HTTP API. The transport is passed in: loopback, or the API server's proxy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

# Returns the body of a GET of a path.
Get = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One server."""

    get: Get

    def query(self, text: str) -> list[Mapping[str, Any]]:
        """Return the samples of an instant query that are numbers. NaN means 0 divided by 0, thus no data."""
        found = self._data(f"query?query={quote(text)}")["result"]
        return [sample for sample in found if not math.isnan(float(sample["value"][1]))]

    def targets(self) -> list[Mapping[str, Any]]:
        """Return the targets that are scraped, with `labels`, `health` and `lastError`."""
        return list(self._data("targets?state=active")["activeTargets"])

    def rules(self) -> list[Mapping[str, Any]]:
        """Return all rules, with `name`, `type`, `health` and, of an alert, `state`."""
        return [rule for group in self._data("rules")["groups"] for rule in group["rules"]]

    def alerts(self) -> list[Mapping[str, Any]]:
        """Return the pending and firing alerts, with `labels`, `annotations` and `state`."""
        return list(self._data("alerts")["alerts"])

    def _data(self, path: str) -> dict[str, Any]:
        return dict(json.loads(self.get(f"/api/v1/{path}"))["data"])
