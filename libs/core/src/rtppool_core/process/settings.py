"""Settings from the environment. All errors are reported together, each with name, value and the accepted values."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from rtppool_core.contract.port_range import PortRange, PortRangeError
from rtppool_core.net.hosts import host_problem
from rtppool_core.net.tls_files import ServerCertificate, TlsFileError, TrustedAuthority

NODE_ADDRESS = "$(NODE_IP)"
LOCALHOST = "localhost"
MAX_ADDRESSES = 8
T = TypeVar("T")
Choice = TypeVar("Choice", bound=str)
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class SettingsError(Exception):
    """One or more settings are invalid; `problems` holds a sentence for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Environment:
    """Reads settings one by one, collects errors, and raises them together at the end (`finish`).

    An empty value counts as not set: a manifest may leave a variable blank.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """Return any text in UTF-8."""
        text = self._variables.get(name, "").strip()
        if not _is_utf8(text):
            self.problem(f"{name}={text!a}: is not UTF-8; accepted is UTF-8 text")
            return default
        return text or default

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """Return a whole number from `lowest` to `highest`."""
        accepted = f"a whole number from {lowest} to {highest}"

        def read(text: str) -> int:
            number = int(text)
            if not lowest <= number <= highest:
                raise ValueError
            return number

        return self._parsed(name, default, read, accepted)

    def seconds(self, name: str, default: float, lowest: float, highest: float) -> float:
        """Return a number of seconds, fractions allowed."""

        def read(text: str) -> float:
            number = float(text)
            if not lowest <= number <= highest:
                raise ValueError
            return number

        return self._parsed(name, default, read, f"seconds, from {lowest:g} to {highest:g}")

    def choice(self, name: str, default: Choice, choices: tuple[Choice, ...]) -> Choice:
        """Return one of `choices`, in upper or lower case."""

        def read(text: str) -> Choice:
            return next(choice for choice in choices if choice.lower() == text.lower())

        return self._parsed(name, default, read, "one of " + ", ".join(choices))

    def address(self, name: str, default: str) -> str:
        """Return an IPv4 or IPv6 address, not a name. `$(NODE_IP)` is the address in NODE_IP."""
        return self._parsed(name, default, self._read_address, f"an IPv4 or IPv6 address{self._or_node_address(name)}")

    def addresses(self, name: str, default: str) -> tuple[str, ...]:
        """Return comma-separated addresses. `localhost` is the loopback address of the family of NODE_IP."""

        def read(text: str) -> tuple[str, ...]:
            parts = [part.strip() for part in text.split(",")]
            if len(parts) > MAX_ADDRESSES:
                raise ValueError
            return tuple(self.loopback() if part == LOCALHOST else self._read_address(part) for part in parts)

        accepted = f"at most {MAX_ADDRESSES} IPv4 or IPv6 addresses, or localhost, separated by commas"
        return self._parsed(name, (default,), read, accepted + self._or_node_address(name))

    def loopback(self) -> str:
        """Return the loopback address of the family of NODE_IP, which is IPv4 while it is not set."""
        return "::1" if ":" in self.node_address() else "127.0.0.1"

    def node_address(self) -> str:
        """Return the text of NODE_IP; empty when not set."""
        return self._variables.get("NODE_IP", "").strip()

    def usable_address(self, name: str) -> str:
        """Return an address that packets can be sent to; empty when not set."""

        def read(text: str) -> str:
            address = ipaddress.ip_address(text)
            if address.is_unspecified or address.is_multicast:
                raise ValueError
            return str(address)

        return self._parsed(name, "", read, "an address of this machine (not 0.0.0.0, :: or multicast)")

    def port_range(self, name: str, default: str) -> PortRange:
        """Return a range such as `10000-10100`."""
        text = self.text(name, default)
        try:
            return PortRange.parse(text)
        except PortRangeError as error:
            self.problem(f"{name}={text}: {str(error).partition('; ')[2]}")
            return PortRange.parse(default)

    def networks(self, name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Return comma-separated CIDRs; empty when not set."""

        def read(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
            parts = text.replace(NODE_ADDRESS, self.node_address()).split(",")
            return tuple(ipaddress.ip_network(part.strip()) for part in parts if part.strip())

        return self._parsed(name, (), read, "networks such as 10.0.0.0/8, separated by commas, host bits zero")

    def secret(self, name: str) -> str:
        """Return the content of the file `NAME_FILE`, or `NAME`; empty when neither is set. Errors omit the value."""
        path = self.text(f"{name}_FILE")
        if not path:
            secret = self._variables.get(name, "")
            if not _is_utf8(secret):
                self.problem(f"{name}: is not UTF-8; accepted is UTF-8 text")
            return secret
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            self.problem(f"{name}_FILE={path}: can't be read ({reason}); accepted is the path of a readable text file")
            return ""

    def server_certificate(self, name: str) -> ServerCertificate | None:
        """Return the certificate in a folder; None when not set, for a server without TLS."""
        text = self.text(name)
        try:
            return ServerCertificate(name, Path(text)) if text else None
        except TlsFileError as error:
            self.problem(str(error))
            return None

    def trusted_authority(self, name: str, server_name: str) -> TrustedAuthority | None:
        """Return the authority in the file `name` and the server's name in `server_name`; None when not set."""
        path, server = self.text(name), self.text(server_name)
        if path and host_problem(server or ".") is not None:
            self.problem(f"{server_name}={server}: accepted with {name} is a name that the servers' certificates have")
            return None
        return TrustedAuthority(name, Path(path), server) if path else None

    def problem(self, sentence: str) -> None:
        """Note an error that only the service can detect, such as two settings that contradict each other."""
        self._problems.append(sentence)

    def finish(self) -> None:
        """Raise the collected errors, if any.

        Raises:
            SettingsError: one or more settings are invalid.
        """
        if self._problems:
            raise SettingsError(tuple(self._problems))

    def _read_address(self, text: str) -> str:
        return str(ipaddress.ip_address(text.replace(NODE_ADDRESS, self.node_address())))

    def _or_node_address(self, name: str) -> str:
        """Return the end of a sentence for a value that refers to NODE_IP."""
        return ", and $(NODE_IP) where NODE_IP is an address" if NODE_ADDRESS in self.text(name) else ""

    def _parsed(self, name: str, default: T, read: Callable[[str], T], accepted: str) -> T:
        text = self.text(name)
        if not text:
            return default
        try:
            return read(text)
        except (ValueError, StopIteration):
            self.problem(f"{name}={text}: accepted is {accepted}")
            return default


def _is_utf8(text: str) -> bool:
    """Return whether a variable's bytes are UTF-8. Python reads all others as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
