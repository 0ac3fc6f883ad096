"""A proxy that is named for everything, and cannot be reached, is not asked for the servers on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alignment_corpus import RECIPE, write_corpus
from e2e_installation import Installation

pytestmark = pytest.mark.slow
CLOSED = "http://127.0.0.1:9"
TRACKED = """
from infra.loopback import ask_loopback_directly
from infra.settings import load_settings
from infra.tracking import Tracker

ask_loopback_directly()
tracker = Tracker(load_settings())
tracker.log_run("through no proxy", status="FINISHED")
print(tracker.waiting())
"""


def test_a_flow_and_its_tracking_reach_local_servers(
    tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    recipe = tmp_path / "vectors.yaml"
    recipe.write_text(RECIPE)
    proxied = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"), CLOSED)
    made = Installation(
        home=tmp_path / "home",
        corpus=write_corpus(tmp_path / "corpus"),
        environment={**server_addresses, **proxied, "no_proxy": "", "NO_PROXY": ""},
    )
    done = made.mer("features", "--recipe", str(recipe), "--corpus", str(made.corpus))
    assert "[2/2] features" in done.stdout
    tracked = subprocess.run(
        [sys.executable, "-c", TRACKED], env=made.variables(), capture_output=True, text=True, check=True
    )
    assert tracked.stdout.strip() == "0", tracked.stderr
