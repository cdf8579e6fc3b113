"""Settings from the environment: every mistake is reported at once, each with name, value and what is accepted."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from rtppool_core.contract.port_range import PortRange, PortRangeError

T = TypeVar("T")
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class SettingsError(Exception):
    """One or more settings can't be used; `problems` holds a sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Environment:
    """Reads settings one by one, notes what is wrong, and raises once at the end (`finish`).

    An empty value counts as not set, as in a manifest that leaves a variable blank.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Any text."""
        return self._variables.get(name, "").strip() or default

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number from `lowest` to `highest`."""
        accepted = f"a whole number from {lowest} to {highest}"

        def read(text: str) -> int:
            number = int(text)
            if not lowest <= number <= highest:
                raise ValueError
            return number

        return self._parsed(name, default, read, accepted)

    def seconds(self, name: str, default: float, lowest: float, highest: float) -> float:
        """A number of seconds, fractions allowed."""

        def read(text: str) -> float:
            number = float(text)
            if not lowest <= number <= highest:
                raise ValueError
            return number

        return self._parsed(name, default, read, f"seconds, from {lowest:g} to {highest:g}")

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`, in any case."""

        def read(text: str) -> str:
            return next(choice for choice in choices if choice.lower() == text.lower())

        return self._parsed(name, default, read, "one of " + ", ".join(choices))

    def address(self, name: str, default: str) -> str:
        """An IPv4 or IPv6 address, not a name."""
        return self._parsed(name, default, lambda text: str(ipaddress.ip_address(text)), "an IPv4 or IPv6 address")

    def usable_address(self, name: str) -> str:
        """An address that packets can be sent to; empty when not set."""

        def read(text: str) -> str:
            address = ipaddress.ip_address(text)
            if address.is_unspecified or address.is_multicast:
                raise ValueError
            return str(address)

        return self._parsed(name, "", read, "an address of this machine (not 0.0.0.0, :: or multicast)")

    def port_range(self, name: str, default: str) -> PortRange:
        """A range such as `10000-10100`."""
        text = self.text(name, default)
        try:
            return PortRange.parse(text)
        except PortRangeError as error:
            self.problem(f"{name}={text}: {str(error).partition('; ')[2]}")
            return PortRange.parse(default)

    def networks(self, name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Comma-separated CIDRs; empty when not set."""

        def read(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
            return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())

        return self._parsed(name, (), read, "networks such as 10.0.0.0/8, separated by commas, host bits zero")

    def secret(self, name: str) -> str:
        """A secret from `NAME_FILE` (the file's content) or `NAME`; empty when neither is set. Never shown."""
        path = self.text(f"{name}_FILE")
        if not path:
            return self._variables.get(name, "")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.problem(f"{name}_FILE={path}: can't be read ({reason}); accepted is the path of a readable text file")
            return ""

    def problem(self, sentence: str) -> None:
        """Note a mistake that only the service can see (one setting contradicting another)."""
        self._problems.append(sentence)

    def finish(self) -> None:
        """Raise when anything was wrong.

        Raises:
            SettingsError: with every problem noted so far.
        """
        if self._problems:
            raise SettingsError(tuple(self._problems))

    def _parsed(self, name: str, default: T, read: Callable[[str], T], accepted: str) -> T:
        text = self.text(name)
        if not text:
            return default
        try:
            return read(text)
        except (ValueError, StopIteration):
            self.problem(f"{name}={text}: accepted is {accepted}")
            return default
