"""Failures of requests to Asterisk."""

from __future__ import annotations


class AriError(Exception):
    """A request to Asterisk failed. The message names the request, the failure and a remedy."""


class AriUnreachable(AriError):  # noqa: N818 the field's term
    """No answer from the address, or none in time."""


class AriUnauthorized(AriError):  # noqa: N818 HTTP's term
    """Asterisk refuses the credentials (401) or the request of this user (403)."""


class AriRefused(AriError):  # noqa: N818 Asterisk's answer, not our fault
    """Asterisk answered with an HTTP status other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AriFormatError(AriError):
    """A message that is not of ARI's format. The error shows its beginning."""
