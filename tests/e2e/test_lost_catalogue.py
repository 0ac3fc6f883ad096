"""The catalogue of a used home is damaged: rebuilt from the store, the champion is the same and nothing is computed anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e_installation import CLIPS, Installation

from mer.demo import DemoConfig, generate_demo

pytestmark = pytest.mark.nightly


def test_a_rebuilt_home_goes_on(tmp_path: Path, server_addresses: dict[str, str]) -> None:
    corpus = generate_demo(tmp_path / "corpus", DemoConfig(clips=CLIPS, seed=5))
    home = Installation(tmp_path / "home", corpus, server_addresses)
    home.run()
    home.mer("models", "tiny", "--promote", "1")
    before, shown = home.results(), home.mer("models", "tiny").stdout
    (home.home / "catalogue.db").write_bytes(bytes(range(256)) * 200)
    for command in (("models",), ("run", "--corpus", str(corpus)), ("predict", str(corpus))):
        refused = home.mer(*command, check=False)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert "mer restore" in refused.stderr
        assert "mer rebuild" in refused.stderr
    said = home.mer("rebuild").stdout
    assert "champion: tiny version 1" in said
    assert "2 promotions" in said
    assert home.mer("models", "tiny").stdout == shown
    again = home.run().stdout
    assert "features found: of all" in again
    assert "kept: this version is the champion already" in again
    assert home.results() == before
    assert home.mer("models", "tiny").stdout == shown
