from __future__ import annotations

import os
from pathlib import Path

import pytest

from rtppool_core.process import secret_file
from rtppool_core.process.secret_file import MAX_AGE_SECONDS, SecretFile, SecretFileError


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(" first\n")
    return path


def test_the_secret_has_no_white_space_around_it(path: Path) -> None:
    assert SecretFile("HTTP_TOKEN_FILE", path).value() == "first"


def test_a_changed_file_counts_at_the_next_use(path: Path) -> None:
    secret = SecretFile("HTTP_TOKEN_FILE", path)
    secret.value()
    path.write_text("second")
    assert secret.value() == "second"


def test_a_mounted_secret_that_is_swapped_through_its_link_counts_at_the_next_use(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(name)
    (tmp_path / "..data").symlink_to("one")
    secret = SecretFile("HTTP_TOKEN_FILE", tmp_path / "..data" / "token")
    assert secret.value() == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "..data")
    assert secret.value() == "two"


def test_a_change_that_stat_does_not_show_counts_after_a_minute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    secret = SecretFile("HTTP_TOKEN_FILE", path, clock)
    secret.value()
    unchanged = path.stat()
    path.write_text("second")
    monkeypatch.setattr(Path, "stat", lambda *_arguments, **_named: unchanged)
    clock.seconds += MAX_AGE_SECONDS - 1
    assert secret.value() == "first"
    clock.seconds += 1
    assert secret.value() == "second"


def test_an_unchanged_file_is_not_opened_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SecretFile("HTTP_TOKEN_FILE", path)
    secret.value()
    monkeypatch.setattr(os, "open", None)
    assert [secret.value() for _ in range(3)] == ["first"] * 3


def test_without_descriptors_the_last_secret_stays_and_the_change_counts_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = SecretFile("HTTP_TOKEN_FILE", path)
    secret.value()
    path.write_text("second")

    def refuse(*_arguments: object) -> int:
        raise OSError(24, os.strerror(24))

    with monkeypatch.context() as exhausted:
        exhausted.setattr(os, "open", refuse)
        assert [secret.value() for _ in range(3)] == ["first"] * 3
    assert caplog.messages == [f"HTTP_TOKEN_FILE={path} can't be read: Too many open files"]
    assert secret.value() == "second"


def test_a_removed_file_leaves_the_last_secret_in_use(path: Path) -> None:
    secret = SecretFile("HTTP_TOKEN_FILE", path)
    secret.value()
    path.unlink()
    assert secret.value() == "first"


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file or directory"), (b"\xff", "not UTF-8 text")])
def test_a_file_that_was_never_readable_is_an_error_with_its_reason(
    path: Path, content: bytes | None, reason: str
) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SecretFileError, match=reason):
        SecretFile("HTTP_TOKEN_FILE", path).value()


def test_no_more_than_the_bound_is_read(path: Path) -> None:
    path.write_text("a" * (secret_file.MAX_SECRET_BYTES + 1))
    assert len(SecretFile("HTTP_TOKEN_FILE", path).value()) == secret_file.MAX_SECRET_BYTES
