"""Host names that a resolver accepts. Python refuses others with a UnicodeError or a ValueError, not an OSError."""

from __future__ import annotations

MAX_HOST_CHARACTERS = 253
MAX_SHOWN_CHARACTERS = 80
# A name that cannot be encoded is a UnicodeError, one with a NUL a ValueError.
RESOLVER_ERRORS = (OSError, ValueError)


def host_problem(host: str) -> str | None:
    """Return the reason why a text is neither an address nor a name that can be resolved, or None."""
    if len(host.rstrip(".")) > MAX_HOST_CHARACTERS:
        return f"it has more than {MAX_HOST_CHARACTERS} characters"
    if any(character.isspace() or not character.isprintable() for character in host):
        return "it has a space or a character that is not printable"
    try:
        host.encode("idna")
    except UnicodeError:
        return "each part between dots has 1 to 63 letters, digits or hyphens"
    return None


def shown_host(host: str) -> str:
    """Return the beginning of a host in quotes, with escapes, for an error that can be logged and encoded."""
    return ascii(host[:MAX_SHOWN_CHARACTERS])


def describe_resolver_error(error: OSError | ValueError) -> str:
    """Return the reason why a host was not resolved."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"it can't be encoded: {error}"
