"""What a stage really runs is in its key: a whole run, every function of which is held against the stage's closure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from e2e_installation import TINY, Installation

pytestmark = pytest.mark.slow

OPTIONS = ("mer.recipes.", "mer.fusion.config:", "mer.fusion.registry:")
"""Validators of options, which run again where a record with a recipe is made; the options' values are in the key."""
BESIDE = (
    "mer.implementations:", "mer.encoders.conversion:", "mer.encoders.moonshine_wheel:",
    "mer.features.spec:FeatureSpec.precomputed", "mer.training.checkpoint:Checkpoint.__init__",
)  # fmt: skip
"""Tables, whose chosen entries count instead; the converters, whose results are in the keys as the weights' identity; what a
reference says of its features, which is in their key; and where a checkpoint lies, which `tasks.stage` says."""


def test_every_function_that_a_stage_runs_is_in_its_closure(
    installation: Installation, tmp_path: Path
) -> None:
    report = tmp_path / "report.jsonl"
    command = Path(__file__).with_name("traced_command.py")
    recipe = ["run", "--recipe", str(TINY), "--corpus", str(installation.corpus), "--name", "tiny"]
    done = subprocess.run(
        [sys.executable, str(command), str(report), *recipe],
        env=installation.variables(),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    stages = [json.loads(line) for line in report.read_text().splitlines()]
    missing = {
        (stage["roots"][0], name)
        for stage in stages
        for name in stage["missing"]
        if not name.startswith(BESIDE)
        and not (name.startswith(OPTIONS) and stage["roots"][0].endswith("register.<locals>.produce"))
    }
    assert missing == set()
    watched = {stage["roots"][0] for stage in stages}
    assert len(watched) >= 14, f"expected most kinds of stages, found {sorted(watched)}"
    assert sum(stage["ran"] for stage in stages) > 1000
