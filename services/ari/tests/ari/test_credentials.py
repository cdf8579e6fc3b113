"""Credentials of ARI that are rotated in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtppool_core.process.secret_file import SecretFile
from rtppool_relay.ari.credentials import Credentials, CredentialSource

FIRST = Credentials("relay", "first")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("relay\n")
    password.write_text("first\n")
    return user, password


@pytest.fixture
def source(files: tuple[Path, Path]) -> CredentialSource:
    return CredentialSource(FIRST, SecretFile("ARI_USER_FILE", files[0]), SecretFile("ARI_PASS_FILE", files[1]))


def test_credentials_without_files_never_change() -> None:
    source = CredentialSource(FIRST, None, None)
    assert not source.refresh()
    assert source.current == FIRST


def test_a_rotated_file_is_in_force_after_the_next_refresh(source: CredentialSource, files: tuple[Path, Path]) -> None:
    assert not source.refresh()
    files[1].write_text("the second\n")
    assert source.refresh()
    assert source.current == Credentials("relay", "the second")
    files[0].write_text("another user\n")
    assert source.refresh()
    assert source.current == Credentials("another user", "the second")
    assert not source.refresh()


@pytest.mark.parametrize(("which", "content"), [(0, "rel:ay"), (0, ""), (1, ""), (0, "a\nb")])
def test_a_file_that_cannot_be_used_keeps_the_last_credentials_and_is_reported_once(
    source: CredentialSource, files: tuple[Path, Path], which: int, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    files[which].write_text(content)
    for _ in range(3):
        assert not source.refresh()
    assert source.current == FIRST
    (message,) = caplog.messages
    assert message.startswith("the former credentials of ARI stay in use: ")


def test_a_file_that_is_gone_keeps_the_last_credentials(source: CredentialSource, files: tuple[Path, Path]) -> None:
    source.refresh()
    files[0].unlink()
    files[1].write_text("second\n")
    source.refresh()
    assert source.current == Credentials("relay", "second")


def test_the_first_user_may_appear_in_its_file_later(tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.write_text("")
    source = CredentialSource(Credentials("", "first"), SecretFile("ARI_USER_FILE", user), None)
    assert not source.refresh()
    user.write_text("relay")
    assert source.refresh()
    assert source.current == FIRST
