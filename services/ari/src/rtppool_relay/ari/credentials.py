"""User and password for Asterisk, which can be rotated in mounted files while calls are live."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from rtppool_core.process.secret_file import SecretFile, SecretFileError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of ari.conf with its password."""

    user: str
    password: str = field(repr=False)


def credentials_problem(user: str, password: str) -> str | None:
    """Return the reason why Asterisk cannot get these credentials, or None. The password is not shown."""
    if ":" in user:
        return f"ARI_USER={user}: has a colon, which ends the user's name in HTTP (RFC 7617); accepted is none"
    if any(not character.isprintable() for character in user):
        return f"ARI_USER={user!a}: has a character that is not printable; accepted is a name of one line"
    if user and not password:
        return f"ARI_USER={user}: has no password; set ARI_PASS or ARI_PASS_FILE as well"
    return None


class CredentialSource:
    """The credentials in force. A file replaces the value from the environment, and is read again when it changes.

    Credentials that cannot be used keep the last good ones in force.
    """

    def __init__(self, initial: Credentials, user_file: SecretFile | None, password_file: SecretFile | None) -> None:
        self.current = initial
        self._user_file = user_file
        self._password_file = password_file
        self._problem: str | None = None

    def refresh(self) -> bool:
        """Read the files; return whether the credentials have changed."""
        try:
            user = self._user_file.value() if self._user_file else self.current.user
            password = self._password_file.value() if self._password_file else self.current.password
        except SecretFileError as error:
            self._report(f"the credentials of ARI can't be read: {error}")
            return False
        problem = credentials_problem(user, password)
        if problem is None and not user and self.current.user:
            problem = "ARI_USER_FILE is empty; accepted is a file with the name of a user"
        self._report(problem)
        if problem is not None or (found := Credentials(user, password)) == self.current:
            return False
        self.current = found
        return True

    def _report(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.warning("the former credentials of ARI stay in use: %s", problem)
        self._problem = problem
