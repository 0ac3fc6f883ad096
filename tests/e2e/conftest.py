"""Whole flows in processes of their own, against the session's Prefect and MLflow servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_installation import CLIPS, Installation

from mer.demo import DemoConfig, generate_demo


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo corpus: 36 usable clips and four broken files."""
    return generate_demo(tmp_path_factory.mktemp("demo") / "corpus", DemoConfig(clips=CLIPS, seed=5))


@pytest.fixture
def installation(tmp_path: Path, demo_corpus: Path, server_addresses: dict[str, str]) -> Installation:
    """A fresh home on SQLite and folders."""
    return Installation(home=tmp_path / "home", corpus=demo_corpus, environment=server_addresses)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path, server_addresses: dict[str, str]
) -> Installation:
    """A home in which one undisturbed run has ended; tests must not change it."""
    made = Installation(
        home=tmp_path_factory.mktemp("finished") / "home", corpus=demo_corpus, environment=server_addresses
    )
    made.run()
    return made
