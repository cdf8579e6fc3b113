"""How requests to Asterisk fail."""

from __future__ import annotations


class AriError(Exception):
    """A request to Asterisk failed; the message says which, how, and what to look at."""


class AriUnreachable(AriError):  # noqa: N818 the field's word
    """Nothing answers at the address, or not in time."""


class AriUnauthorized(AriError):  # noqa: N818 HTTP's word
    """Asterisk refuses the user or the password (401), or the user may not do this (403)."""


class AriRefused(AriError):  # noqa: N818 Asterisk's answer, not our fault
    """Asterisk answered with another HTTP status than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AriFormatError(AriError):
    """What came is not what ARI sends; the message shows its beginning."""
