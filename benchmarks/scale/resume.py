"""What a run that was killed at 99 % reads to find out what is left: in a process of its own, before it reads any clip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measuring import peak_memory_bytes
from benchmarks.scale.filled import CLIP_BYTES, CORPUS, RECIPE, SHARD


def resumed(environment: Mapping[str, str], rows: int) -> dict[str, float]:
    """Share of the input that planning reads, per cent, its peak memory in MB and its processor seconds."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--resume"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"the resume ended with {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "resume_read_percent": 100 * found["read"] / (rows * CLIP_BYTES),
        "resume_read_mb": found["read"] / 1e6,
        "resume_peak_mb": found["peak"] / 1e6,
        "resume_s": found["seconds"],
        "resume_left": found["left"],
    }


def resume() -> None:
    """Plan what is left of the last snapshot's clips, as a run does, and print what that took."""
    import time

    from mer.recipes import FoldPlan
    from mer.recipes.loading import parse_recipe
    from tasks.data.dataset import clip_ids_of
    from tasks.data.features import plan_features
    from tasks.stage.references import DatasetRef
    from tasks.stage.workspace import workspace

    recipe = parse_recipe(RECIPE, origin="scale")
    space = workspace()
    last = space.catalogue.artifacts("dataset")[-1]
    dataset = DatasetRef(
        ref=last.ref, corpus=CORPUS, membership="", views=(), clips=0, labelled=0, unlabelled=0, holdout=0,
        emotions=recipe.emotions, folds=FoldPlan(),
    )  # fmt: skip
    plan_features.fn(CORPUS, {"acoustic": recipe.streams["acoustic"].features}, (), SHARD)
    before, began = read_bytes(), time.process_time()
    names = clip_ids_of(dataset)
    plan = plan_features.fn(CORPUS, {"acoustic": recipe.streams["acoustic"].features}, names, SHARD)
    left = sum(len(shard.clip_ids) for shard in plan.shards)
    found = {
        "read": read_bytes() - before,
        "peak": peak_memory_bytes(),
        "seconds": time.process_time() - began,
        "left": left,
    }
    print(json.dumps(found))


def read_bytes() -> int:
    """Bytes that this process has read from files so far, cached or not (Linux)."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise RuntimeError("no rchar in /proc/self/io: what is read can be counted on Linux only")
