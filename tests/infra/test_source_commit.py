"""Which commit the code is, in a checkout, in a worktree, and where there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.source_commit import source_commit


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    _git(folder, "init", "-q")
    (folder / "code.py").write_text("one")
    _git(folder, "add", ".")
    _git(folder, "commit", "-qm", "first")
    return folder


def test_a_checkout(checkout: Path) -> None:
    found = source_commit.__wrapped__(checkout)
    assert found is not None and found.sha == _git(checkout, "rev-parse", "HEAD") and not found.changed
    (checkout / "notes.txt").write_text("not of the code")
    found = source_commit.__wrapped__(checkout)
    assert found is not None and not found.changed
    (checkout / "code.py").write_text("two")
    found = source_commit.__wrapped__(checkout)
    assert found is not None and found.changed


def test_a_worktree(checkout: Path, tmp_path: Path) -> None:
    _git(checkout, "worktree", "add", "-q", str(tmp_path / "tree"))
    found = source_commit.__wrapped__(tmp_path / "tree")
    assert found is not None and len(found.sha) == 40


def test_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.source_commit.DISTRIBUTION", "no-such-package")
    assert source_commit.__wrapped__(tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert source_commit.__wrapped__(tmp_path) is None
