"""The process that faults are injected into, from outside: started with the shim, given orders, its home checked."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from invariants import check_invariants

from infra.settings import load_settings

HERE = Path(__file__).parent
COUNT, ONCE, FOR_GOOD, KILL = 0, 1, 2, 3
"""What happens at the n-th operation: nothing, it fails, it and all later ones fail, the process is killed before it."""
LIMIT_SECONDS = 120
"""A run that takes longer hangs: one takes two seconds on a quiet processor, and nothing in it waits longer than 30."""


def built_shim(folder: Path) -> Path:
    """The shim, compiled into `folder`; skips where there is no C compiler or another system."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("counting I/O operations takes Linux and a C compiler (cc)")
    shim = folder / "io_shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(HERE / "io_shim.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return shim


@dataclass
class Pipeline:
    """A running `small_pipeline` and the corpus that it is given."""

    process: subprocess.Popen[str]
    corpus: Path
    operations: int = 0
    """Of an undisturbed run."""
    commits: int = 0
    """Artifacts that an undisturbed run makes."""
    sha256: str = ""
    """Of the version that an undisturbed run registers."""

    def order(self, home: Path, mode: int = COUNT, position: int = 0, **more: Any) -> dict[str, Any]:
        """Run the pipeline on a home; see `small_pipeline.carry_out` for the answer."""
        order = {
            "home": str(home),
            "corpus": str(self.corpus),
            "mode": mode,
            "position": position,
            "errno": errno.EIO,
            "limit": LIMIT_SECONDS,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order | more) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the process that runs the pipeline ended"
        answer: dict[str, Any] = json.loads(line)
        assert not answer.get("hung"), f"I9: no end within {LIMIT_SECONDS} s: {answer}"
        return answer


@contextmanager
def running_pipeline(folder: Path) -> Iterator[Pipeline]:
    """Start it, and run it once undisturbed."""
    sys.path.insert(0, str(HERE))
    try:
        from small_pipeline import write_corpus
    finally:
        sys.path.remove(str(HERE))
    environment = os.environ | {
        "LD_PRELOAD": str(built_shim(folder)),
        "PYTHONPATH": str(HERE.parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "log.txt").open("w") as log:
        command = [sys.executable, str(HERE / "small_pipeline.py")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        with subprocess.Popen(command, text=True, env=environment, **pipes) as process:  # type: ignore[call-overload]
            try:
                pipeline = Pipeline(process, write_corpus(folder / "corpus"))
                first = pipeline.order(folder / "first", here=True)
                clean = pipeline.order(folder / "undisturbed")
                assert clean.get("result", {}).get("promotion") == "promoted", clean
                assert first["result"]["sha256"] == clean["result"]["sha256"]
                check_invariants(load_settings(home=folder / "undisturbed"), recovered=True)
                pipeline.operations, pipeline.commits = clean["operations"], clean["commits"]
                pipeline.sha256 = clean["result"]["sha256"]
                yield pipeline
            finally:
                process.kill()


def recovered_run(pipeline: Pipeline, home: Path, where: str) -> dict[str, Any]:
    """The same command again, without a fault: it ends well with the undisturbed result, and the invariants hold."""
    again = pipeline.order(home, recover=True)
    assert "result" in again, f"{where}: the next run failed: {again}"
    assert again["result"]["accepted"] == 24 and again["result"]["quarantined"] == {"not_media": 1}, where
    assert again["result"]["sha256"] == pipeline.sha256, f"I3 after {where}"
    assert not again["lines"] or all("not put right" not in line for line in again["lines"]), again["lines"]
    check_invariants(load_settings(home=home), recovered=True)
    return again
