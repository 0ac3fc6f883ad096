"""What one cold prediction costs: processor seconds of `mer predict CLIP` and all its processes, and what is imported.

    python -m benchmarks.cold_start --home .mer --clip clip.mp4 [--model demo]

The home must have a model (`mer run` makes one). Figures: `processor_seconds` (median over the runs: user and system time of the
command, its decoder included), `seconds` (median wall time), `modules` (loaded at the end), `whole_import_seconds` (processor
time of the same without leaving anything of transformers out).
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.command import Figure, parser, write_figures

_COMMAND = """
import json, sys
lean, sys.argv = sys.argv[1], ["mer", *sys.argv[2:]]
if lean == "whole":
    import mer.encoders.lean_import
    mer.encoders.lean_import.import_lean = lambda: False
from flows.cli import main
try:
    main()
except SystemExit as end:
    sys.stderr.write("\\n" + json.dumps([end.code, len(sys.modules)]))
"""


def cold(arguments: list[str], environment: Mapping[str, str], how: str = "lean") -> tuple[float, float, int]:
    """Processor seconds, wall seconds and loaded modules of one prediction in a fresh process.

    Raises:
        RuntimeError: the prediction did not answer.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, how, "predict", *arguments],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    code, modules = json.loads(done.stderr.splitlines()[-1]) if done.stderr else (1, 0)
    if code != 0:
        raise RuntimeError(f"mer predict ended with {code}: {done.stderr[-2000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, seconds, int(modules)


def main() -> None:
    """Predict one clip several times, each time by a fresh process."""
    options = parser(__doc__ or "")
    options.add_argument("--home", type=Path, required=True, help="data folder with a model")
    options.add_argument("--clip", type=Path, required=True, help="a media file")
    options.add_argument("--model", default="", help="registered model; left out: the one promoted last")
    options.add_argument("--runs", type=int, default=5, help="fresh processes")
    chosen = options.parse_args()
    environment = {**os.environ, "MER_HOME": str(chosen.home), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(chosen.clip), "--out", f"{folder}/x.csv"]
        arguments += ["--model", chosen.model] if chosen.model else []
        runs = [cold(arguments, environment) for _ in range(1 if chosen.quick else chosen.runs)]
        whole = cold(arguments, environment, "whole")
    figures: dict[str, Figure] = {
        "processor_seconds": statistics.median(run[0] for run in runs),
        "seconds": statistics.median(run[1] for run in runs),
        "modules": runs[0][2],
        "whole_import_seconds": whole[0],
    }
    for name, value in figures.items():
        print(f"{name:<24} {value:.2f}" if isinstance(value, float) else f"{name:<24} {value}")
    write_figures(chosen.json, figures)


if __name__ == "__main__":
    main()
