"""The same clips extracted where `MER_TASK_RUNNER` says: the engines that Prefect has, Dask and Ray, one setting each.

    python -m benchmarks.extraction.engines [--quick] [--clips 10000] [--engines threads processes workers dask ray] [--json PATH]

Clips are made, .3 s each; their feature is loudness and length (`sound:`), the cheapest there is: what is left is decoding,
committing and what the engine itself costs. They are ingested once. Then `mer features` runs once for each engine with
`--processes` processes in the same home, whose shards are taken away between the engines, and is measured with all processes
that it starts; for `workers` these are two `mer worker` of their own, and their start counts. Threads take turns to compute.

JSON keys, for each engine with its name in front: seconds, processor_seconds, peak_mib, clips_per_second; equal_bytes (1: every
engine gave the shards of the first one), clips, shards, task_runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.command import Figure, parser, write_figures
from benchmarks.extraction.growing_corpus import write_recordings
from benchmarks.spending import Spent, spent

ENGINES = ("threads", "processes", "workers", "dask", "ray")
NAME = "short"
RECIPE = """
name: short
emotions: [neutral, angry]
folds: {count: 2, use_published: false}
acoustic:
  features: {modality: acoustic, source: "sound:", pooling: mean}
"""
MER = (sys.executable, "-m", "flows.cli")


def main(arguments: Sequence[str] | None = None) -> dict[str, Figure]:
    """Run the benchmark; returns its figures."""
    options = parser(__doc__ or "")
    options.add_argument("--clips", type=int, help="left out: 10,000; quick: 600")
    options.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    options.add_argument("--processes", type=int, default=2, help="side by side")
    options.add_argument("--folder", type=Path, help="to work in; left out: a temporary one")
    chosen = options.parse_args(arguments)
    clips = chosen.clips or (600 if chosen.quick else 10_000)
    with tempfile.TemporaryDirectory(prefix="mer-engines-") as temporary:
        figures = measured(chosen.folder or Path(temporary), clips, chosen.engines, chosen.processes)
    for name, value in figures.items():
        print(f"{name:<28} {value:,.1f}" if isinstance(value, float) else f"{name:<28} {value}")
    write_figures(chosen.json, figures)
    return figures


def measured(folder: Path, clips: int, engines: Sequence[str], processes: int) -> dict[str, Figure]:
    """All figures."""
    from tasks.data.spans import span_sizes

    environment = {
        **os.environ,
        "MER_HOME": str(folder / "home"),
        "MER_TASK_RUNNER": "threads",
        "MER_TASK_WORKERS": str(processes),
    }
    make_corpus(folder / "corpus", clips)
    (folder / "short.yaml").write_text(RECIPE, encoding="utf-8")
    figures: dict[str, Figure] = {"clips": clips}
    shards: list[Mapping[tuple[str, str], str]] = []
    try:
        spent(command("ingest", folder), environment)
        for engine in engines:
            with workers_of(engine, processes, environment) as crew:
                cost = spent(command("features", folder), {**environment, "MER_TASK_RUNNER": engine})
            figures |= figures_of(engine, clips, [cost, *crew])
            shards.append(taken_away(folder / "home"))
    finally:
        spent([*MER, "down"], environment)
    count = len(shards[0])
    figures |= {
        "shards": count,
        "task_runs": len(span_sizes(count, clips, clips)),
        "equal_bytes": int(all(one == shards[0] for one in shards)),
    }
    return figures


def command(flow: str, folder: Path) -> list[str]:
    """The command line of a flow over the corpus."""
    recipe = ("--recipe", str(folder / "short.yaml"))
    return [*MER, flow, "--corpus", str(folder / "corpus"), "--name", NAME, *recipe]


def make_corpus(folder: Path, clips: int) -> None:
    """Recordings of ten speakers, half of them of either class."""
    if (folder / "labels.csv").exists():
        return
    write_recordings(folder / "audio", range(clips))
    rows = [
        f"clip_{number:06d},{'angry' if number % 2 else 'neutral'},speaker_{number // 2 % 10}"
        for number in range(clips)
    ]
    (folder / "labels.csv").write_text("\n".join(["name,emotion,speaker", *rows]) + "\n", encoding="utf-8")


@contextmanager
def workers_of(engine: str, processes: int, environment: Mapping[str, str]) -> Iterator[list[Spent]]:
    """Workers for the engine that has them; the list holds what they cost once the block has ended."""
    crew: list[Spent] = []
    if engine != "workers":
        yield crew
        return
    started = [
        subprocess.Popen([*MER, "worker"], env=dict(environment), stdout=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    try:
        yield crew
    finally:
        crew += [used_by(process) for process in started]


def used_by(process: subprocess.Popen[bytes]) -> Spent:
    """What a worker and its decoders have used until now, as the kernel counts it; ends the worker."""
    import psutil

    seconds, most = 0.0, 0
    whole = psutil.Process(process.pid)
    for one in [whole, *whole.children(recursive=True)]:
        times = one.cpu_times()
        seconds += times.user + times.system + times.children_user + times.children_system
        most += one.memory_full_info().pss
    process.terminate()
    process.wait()
    return Spent(seconds, 0.0, most, 0.0)


def figures_of(engine: str, clips: int, costs: Sequence[Spent]) -> dict[str, Figure]:
    """One engine's figures; the first cost is the command's, the others those of its workers."""
    return {
        f"{engine}_seconds": costs[0].seconds,
        f"{engine}_processor_seconds": sum(cost.processor_seconds for cost in costs),
        f"{engine}_peak_mib": sum(cost.peak_bytes for cost in costs) / 2**20,
        f"{engine}_clips_per_second": clips / costs[0].seconds,
    }


def taken_away(home: Path) -> dict[tuple[str, str], str]:
    """Remove the feature shards of a home; returns their sums by feature set and key."""
    os.environ["MER_HOME"] = str(home)
    from tasks.stage.workspace import workspace

    space = workspace()
    found = {}
    for key, ref in space.catalogue.feature_shards():
        found[key, ref.key] = ref.sha256
        space.catalogue.forget_shard(ref)
        space.artifacts.discard(ref)
    return found


if __name__ == "__main__":
    main()
