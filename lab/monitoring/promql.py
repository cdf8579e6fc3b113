"""Queries of rules and dashboards, and the series that they name, without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# A metric or a recorded series of the product, with its label matchers.
SELECTOR = re.compile(r"\b(rtp_[a-z0-9_]+(?::[a-z0-9_:]+)?)(\{[^}]*\})?")
# Grafana's variables, as a dashboard without a selection has them.
VARIABLES = {"$__rate_interval": "1m", "$node": ".*"}


class Query(NamedTuple):
    """A query, with the panel or the rule that asks it."""

    place: str
    text: str


def queries_of(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Yield the queries of all panels, without Grafana's variables."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            yield Query(f"panel {panel['title']}", without_variables(target["expr"]))


def panels_of(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all panels, those of rows included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def without_variables(query: str) -> str:
    """Replace Grafana's variables."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def rules_of(groups: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rules of all groups of a rule file."""
    for group in groups["groups"]:
        yield from group["rules"]


def name_of(rule: Mapping[str, Any]) -> str:
    """Return the name of an alert or of a recorded series."""
    return str(rule.get("alert") or rule["record"])


def selectors_of(query: str) -> list[str]:
    """Return the selectors of the product's series in a query: `rtp_relay_ports{state="free"}`."""
    return [f"{name}{matchers}" for name, matchers in SELECTOR.findall(query)]


def metrics_of(query: str) -> set[str]:
    """Return the names of the product's series in a query."""
    return {name for name, _ in SELECTOR.findall(query)}


def family_of(series: str) -> str:
    """Return the metric that a series of a histogram belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", series)
