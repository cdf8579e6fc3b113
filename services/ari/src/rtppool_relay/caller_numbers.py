"""How callers' numbers are shown in logs, in `/calls`, on the pages and in records.

A number reaches the relay in two ways. Asterisk names the caller of a channel: a record gets that number in one of
`FORMS`. Text of Asterisk that the relay could not read may hold a number anywhere, so it is shown without its digits.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from typing import Literal

Form = Literal["masked", "hashed", "plain"]
FORMS: tuple[Form, ...] = ("masked", "hashed", "plain")
SHOWN_DIGITS = 2
MIN_KEY_BYTES = 16
# 48 bits: two of a million numbers have the same hash with a chance of one in 560.
HASH_CHARACTERS = 12
# A shorter number is also a port, a count or a code, and stays in other text.
MIN_SOUGHT_CHARACTERS = 5

_DIGITS = re.compile(rf"\+?[0-9]{{{MIN_SOUGHT_CHARACTERS},}}")


@dataclass(frozen=True, slots=True)
class CallerNumbers:
    """The form in which callers' numbers are shown. `key` is that of the hash (RFC 2104, with SHA-256)."""

    form: Form = "masked"
    key: bytes = field(default=b"", repr=False)

    def shown(self, number: str) -> str | None:
        """Return a number as it is shown: `********56`, `~787a8c5f64af`, or itself. None for an empty one.

        The hash is the same on all relays with the same key, so that a caller can be followed over nodes.
        """
        if not number:
            return None
        if self.form == "plain":
            return number
        if self.form == "hashed":
            return f"~{hmac.digest(self.key, number.encode('utf-8', 'replace'), 'sha256').hex()[:HASH_CHARACTERS]}"
        return _masked(number)

    def hide_in(self, text: str, number: str) -> str:
        """Return a text, such as a SIP Call-ID, with a number that it holds as that is shown."""
        sought = number.removeprefix("+")
        shown = self.shown(number)
        return text.replace(sought, shown) if shown and len(sought) >= MIN_SOUGHT_CHARACTERS else text


def without_digits(text: str) -> str:
    """Return a text with stars for each run of digits that may be a number."""
    return _DIGITS.sub(lambda digits: "*" * len(digits[0]), text)


def _masked(number: str) -> str:
    """Hide all but the last digits. Of a short number they would be half."""
    if len(number) <= SHOWN_DIGITS * 2:
        return "*" * len(number)
    return "*" * (len(number) - SHOWN_DIGITS) + number[-SHOWN_DIGITS:]
