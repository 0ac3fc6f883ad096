"""Which commit this code is: of the checkout it runs from, or the one that an installed package was built from."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from infra.errors import UNREADABLE

DISTRIBUTION = "mer-pipeline"
ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 5.0


@dataclass(frozen=True)
class SourceCommit:
    """A commit, and whether the files differ from it."""

    sha: str
    changed: bool


@cache
def source_commit(root: Path = ROOT) -> SourceCommit | None:
    """Commit of the code below `root`; None: no repository, no `git`, and the package does not say what it was built from."""
    if not (root / ".git").exists():
        return _built_from()
    sha = _git(root, "rev-parse", "HEAD")
    if sha is None or len(sha) != 40:
        return None
    return SourceCommit(sha, bool(_git(root, "status", "--porcelain", "--untracked-files=no")))


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _built_from() -> SourceCommit | None:
    """What `pip install git+https://...` notes beside the package (PEP 610)."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
        sha = json.loads(text or "{}")["vcs_info"]["commit_id"]
    except (PackageNotFoundError, *UNREADABLE):
        return None
    return SourceCommit(str(sha), False)
