"""Which representation a client prefers: the Accept header by RFC 9110 sections 12.4.2 and 12.5.1. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.request import parse_http_list

from aiohttp.helpers import parse_mimetype

_WEIGHT = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


class MediaRange(NamedTuple):
    """`text/html`, `text/*` or `*/*` with its parameters, all in lower case but the parameters' values."""

    kind: str
    subtype: str
    parameters: frozenset[tuple[str, str]]

    def covers(self, other: MediaRange) -> bool:
        """Whether a representation of the type `other` is one of this range."""
        return (
            self.kind in {"*", other.kind}
            and self.subtype in {"*", other.subtype}
            and self.parameters <= other.parameters
        )

    @property
    def precedence(self) -> tuple[bool, bool, int]:
        """A more specific range counts before a wider one."""
        return self.kind != "*", self.subtype != "*", len(self.parameters)


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The one of the `offered` media types with the highest weight, the first of them on a tie.

    Without a header, or where it accepts none, it is the first: an answer in another form helps more than status 406.
    """
    ranges = list(_ranges(accept))
    return max(offered, key=lambda media_type: _weight(ranges, media_type))


def weight_of(accept: str, media_type: str) -> float:
    """How much a client likes a media type: 0, not at all, to 1."""
    return _weight(list(_ranges(accept)), media_type)


def _weight(ranges: list[tuple[MediaRange, float]], media_type: str) -> float:
    wanted, _ = _parsed(media_type)
    fitting = [(of.precedence, weight) for of, weight in ranges if of.covers(wanted)]
    return max(fitting)[1] if fitting else 0.0


def _ranges(accept: str) -> Iterable[tuple[MediaRange, float]]:
    """The ranges that can be read; what can't is as if it weren't there."""
    for item in parse_http_list(accept):
        media_range, weight = _parsed(item)
        if media_range.kind and media_range.subtype and _WEIGHT.fullmatch(weight):
            yield media_range, float(weight)


def _parsed(item: str) -> tuple[MediaRange, str]:
    mime = parse_mimetype(item)
    parameters = dict(mime.parameters)
    weight = parameters.pop("q", "1")
    subtype = f"{mime.subtype}+{mime.suffix}" if mime.suffix else mime.subtype
    return MediaRange(mime.type, subtype, frozenset(parameters.items())), weight
