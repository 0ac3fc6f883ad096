"""What Prefect's task runs cost of an extraction: one empty task run, measured, times their number, over the time of the clips.

    python -m benchmarks.extraction.orchestration [--quick] [--runs 100] [--clips-per-second N] [--json PATH]

A flow submits `--runs` extraction tasks without a clip to the home's own Prefect server, in its own process (`threads`) and to
one `mer worker` (`workers`); a run costs the wall time until the last one has ended, and until the server has recorded it, by
their number (the larger counts; it passes while others extract, so the share is an upper bound). Clips are made, .3 s each, and
extracted beside it on one core: by Moonshine-tiny, the smallest encoder there is, and their loudness alone, which no encoder
reads: clips of seconds, larger encoders and more streams take longer, and orchestration the smaller share.

JSON keys: task_run_ms_<runner>, recorded_ms_<runner>, processor_ms_<runner> (flow, worker and server); clips_per_second_speech,
_loudness; for 1000, 10000, 100000 clips: task_runs_<clips> and shard_runs_<clips> (a task run for each shard), and
share_<clips>_<runner>_<feature>; clips_per_second_at_2_percent_<runner>, the fastest extraction for which 100,000 clips stay
below 2 %.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.command import Figure, parser, write_figures
from benchmarks.extraction.growing_corpus import EMOTIONS, write_recordings

if TYPE_CHECKING:
    from mer.features.spec import FeatureSpec

SHARD = 256
"""Clips a shard, as recipes have it."""
SIZES = (1_000, 10_000, 100_000)
RUNNERS = ("threads", "workers")
MER = (sys.executable, "-m", "flows.cli")


def main(arguments: Sequence[str] | None = None) -> dict[str, Figure]:
    """Run the benchmark; returns its figures."""
    options = parser(__doc__ or "")
    options.add_argument("--runs", type=int, help="task runs that are measured; left out: 100; quick: 20")
    options.add_argument(
        "--clips-per-second", type=float, help="of an extraction of yours, to be shown as well"
    )
    chosen = options.parse_args(arguments)
    runs = chosen.runs or (20 if chosen.quick else 100)
    with tempfile.TemporaryDirectory(prefix="mer-orchestration-") as temporary:
        os.environ["MER_HOME"] = str(Path(temporary) / "home")
        try:
            figures = measured(Path(temporary), runs, 64 if chosen.quick else 512)
        finally:
            subprocess.run([*MER, "down"], check=False, stdout=subprocess.DEVNULL)
    if chosen.clips_per_second:
        figures["clips_per_second_given"] = chosen.clips_per_second
    figures |= shares(figures)
    show(figures)
    write_figures(chosen.json, figures)
    return figures


def measured(folder: Path, runs: int, clips: int) -> dict[str, Figure]:
    """Costs of task runs, and rates of extraction."""
    from flows.servers import ensure_servers

    ensure_servers()
    figures: dict[str, Figure] = {"runs": runs}
    for runner in RUNNERS:
        with worker_if(runner):
            figures |= cost_of(runner, runs)
    figures |= rates(folder / "corpus", clips)
    return figures


def cost_of(runner: str, runs: int) -> dict[str, Figure]:
    """Milliseconds of a task run."""
    empty_runs(runner, 5)  # connects, imports
    before = processor_seconds()
    results, recorded = empty_runs(runner, runs)
    used = processor_seconds() - before
    return {
        f"task_run_ms_{runner}": 1000 * results / runs,
        f"recorded_ms_{runner}": 1000 * recorded / runs,
        f"processor_ms_{runner}": 1000 * used / runs,
    }


def empty_runs(runner: str, runs: int) -> tuple[float, float]:
    """Seconds until the last of so many extractions of nothing has ended, and until the server has recorded it."""
    from prefect import flow, runtime

    from flows.runners import configured_task_runner
    from infra.settings import load_settings
    from tasks.data.features import extract_span
    from tasks.stage.references import SpanPlan

    def body(count: int) -> str:
        for running in [extract_span.submit("none", SpanPlan((), ())) for _ in range(count)]:
            running.result()
        ended.append(time.perf_counter())
        return str(runtime.flow_run.id)

    ended: list[float] = []
    task_runner = configured_task_runner(load_settings(task_runner=runner))
    made = flow(name="empty extractions", task_runner=task_runner)(body)
    began = time.perf_counter()
    flow_run = made(runs)
    while recorded_runs(flow_run) < runs:
        time.sleep(0.05)
    return ended[0] - began, time.perf_counter() - began


def recorded_runs(flow_run: str) -> int:
    """Task runs of a flow run that the server shows as completed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter

    with get_client(sync_client=True) as client:
        found = client.request(
            "POST",
            "/task_runs/count",
            json={
                "flow_runs": FlowRunFilter.model_validate({"id": {"any_": [flow_run]}}).model_dump(
                    mode="json"
                ),
                "task_runs": TaskRunFilter.model_validate(
                    {"state": {"type": {"any_": ["COMPLETED"]}}}
                ).model_dump(mode="json"),
            },
        )
    return int(found.json())


@contextmanager
def worker_if(runner: str) -> Iterator[None]:
    """A worker of both pools, where the runner needs one."""
    if runner != "workers":
        yield
        return
    from infra.catalogue import ProcessRole
    from tasks.stage.workspace import workspace

    process = subprocess.Popen([*MER, "worker", "--count", "1"], stdout=subprocess.DEVNULL)
    try:
        while all(row.role is not ProcessRole.WORKER for row in workspace().catalogue.task_processes()):
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def processor_seconds() -> float:
    """Of this process and of all others of this home: servers, worker."""
    import psutil

    seconds = time.process_time()
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("MER_HOME") == os.environ["MER_HOME"]:
                seconds += sum(process.cpu_times()[:2])
        except psutil.Error:  # it has ended, or is another user's
            continue
    return seconds


def rates(corpus: Path, clips: int) -> dict[str, Figure]:
    """Clips a second of the two features, from catalogued clip to committed shard."""
    from mer.features.spec import FeatureSpec
    from tasks.data.ingestion import list_corpus, probe_shard, write_labels

    write_recordings(corpus, range(clips))
    listing = list_corpus.fn(str(corpus), "made", EMOTIONS)
    write_labels.fn(listing, EMOTIONS, probe_shard.fn("made", listing.fresh, True))
    specs = {
        "speech": FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", pooling="mean"),
        "loudness": FeatureSpec(modality="acoustic", source="sound:", pooling="mean"),
    }
    return {
        f"clips_per_second_{name}": rate(spec, SHARD if clips > SHARD else clips // 2)
        for name, spec in specs.items()
    }


def rate(spec: FeatureSpec, shard: int) -> float:
    """Clips a second of the shards after the first, with which the encoder is loaded; their median."""
    from tasks.data.features import extract_shard, plan_features
    from tasks.stage.workspace import workspace

    ids = [row.name for row in workspace().catalogue.clips("made")]
    seconds: list[float] = []
    for part in plan_features.fn("made", {"one": spec}, ids, shard).shards:
        began = time.perf_counter()
        extract_shard.fn("made", part)
        seconds.append((time.perf_counter() - began) / len(part.clip_ids))
    return 1 / median(seconds[1:])


def shares(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    """Numbers of task runs, and what they cost of the extraction of so many clips."""
    from tasks.data.spans import span_sizes

    found: dict[str, Figure] = {}
    features = [
        name.removeprefix("clips_per_second_") for name in figures if name.startswith("clips_per_second_")
    ]
    for clips in SIZES:
        shards = math.ceil(clips / SHARD)
        found[f"shard_runs_{clips}"] = shards
        found[f"task_runs_{clips}"] = runs = len(span_sizes(shards, clips, clips))
        for runner in RUNNERS:
            for feature in features:
                extracting = clips / number(figures[f"clips_per_second_{feature}"])
                found[f"share_{clips}_{runner}_{feature}"] = runs * cost(figures, runner) / extracting
    for runner in RUNNERS:
        all_runs = number(found[f"task_runs_{SIZES[-1]}"]) * cost(figures, runner)
        found[f"clips_per_second_at_2_percent_{runner}"] = 0.02 * SIZES[-1] / all_runs
    return found


def cost(figures: Mapping[str, Figure], runner: str) -> float:
    """Seconds of a task run."""
    return max(number(figures[f"{kind}_ms_{runner}"]) for kind in ("task_run", "recorded")) / 1000


def number(figure: Figure) -> float:
    """A figure that is a number."""
    assert isinstance(figure, int | float)
    return float(figure)


def show(figures: Mapping[str, Figure]) -> None:
    """The tables for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("clips", "task runs", "one a shard", "runner", "feature", "orchestration, % of extraction")
    for key, value in figures.items():
        if key.startswith("share_"):
            _, clips, runner, feature = key.split("_")
            runs: list[Any] = [figures[f"task_runs_{clips}"], figures[f"shard_runs_{clips}"]]
            table.add_row(clips, *map(str, runs), runner, feature, f"{100 * number(value):.2f}")
    console = Console()
    console.print(table)
    for key, value in figures.items():
        if not key.startswith(("share_", "task_runs_", "shard_runs_")):
            console.print(f"{key:<44} {number(value):,.1f}")


if __name__ == "__main__":
    main()
