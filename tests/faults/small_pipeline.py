"""The pipeline in one process and in a second: ingestion, features, fusion, evaluation, registration, promotion of 24 clips.

What it runs are the tasks' functions, without Prefect's engine. It is the process that faults are injected into: started with
the shim (`io_shim.c`) loaded, it imports everything once and then runs each order it reads in a child of its own.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
import wave
from pathlib import Path
from typing import Any

import numpy as np

CORPUS = "small"
RECIPE = """
name: small
emotions: [angry, happy, sad]
acoustic: {features: {modality: acoustic, source: "files:voice"}}
fusion: {epochs: 30, checkpoint_epochs: 15, hidden: 16, learning_rate: 0.02}
folds: {count: 2, use_published: false, seed: 1}
label_shift: {mode: "off"}
gate: {min_clips: 4, resamples: 200, confidence: 0.6}
shard_clips: 32
"""
DEAD_SECONDS = 7200.0
"""Older than any writer lives."""


def write_corpus(root: Path, clips: int = 24) -> Path:
    """Clips of .2 s of four speakers and their vectors; one file is no media."""
    rng = np.random.default_rng(0)
    emotions = ("angry", "happy", "sad")
    rows = ["name,emotion,speaker"]
    (root / "audio").mkdir(parents=True)
    (root / "features" / "voice").mkdir(parents=True)
    for number in range(clips):
        name, label = f"clip{number:02}", number % 3
        with wave.open(str(root / "audio" / f"{name}.wav"), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8_000)
            sound.writeframes(rng.integers(-9_000, 9_000, 1_600).astype(np.int16).tobytes())
        np.save(
            root / "features" / "voice" / f"{name}.npy",
            (rng.normal(size=4) + 3 * np.eye(4)[label]).astype("f4"),
        )
        rows.append(f"{name},{emotions[label]},s{number // 3 % 4}")
    (root / "audio" / "noise.wav").write_bytes(b"no sound" * 99)
    rows.append("noise,sad,s0")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def run(corpus: str) -> dict[str, Any]:
    """The whole pipeline on the home of `MER_HOME`; returns what is served and how many stages ran."""
    from mer.recipes.loading import parse_recipe
    from mer.recipes.members import neural_choice
    from mer.training.partition import FINAL_VIEW
    from tasks.data.dataset import snapshot_dataset
    from tasks.data.features import cut, extract_shard, plan_features
    from tasks.data.ingestion import list_corpus, probe_shard, write_labels
    from tasks.learn.fusion import fuse_view
    from tasks.serve.domain import training_domain
    from tasks.serve.evaluation import evaluate
    from tasks.serve.promotion import RegisteredAs, gate_and_promote, register
    from tasks.stage.references import FusionJob, SnapshotPlan, StreamInput, View
    from tasks.stage.tracking import close_tracked_run
    from tasks.stage.workspace import workspace

    recipe = parse_recipe(RECIPE, origin="small")
    listing = list_corpus.fn(corpus, CORPUS, recipe.emotions)
    probed = [probe_shard.fn(CORPUS, shard, False) for shard in cut(listing.fresh, recipe.shard_clips)]
    report = write_labels.fn(listing, recipe.emotions, sum(probed))
    dataset = snapshot_dataset.fn(CORPUS, SnapshotPlan.of(recipe))
    specs = {name: stream.features for name, stream in recipe.streams.items()}
    ids = [row.name for row in workspace().catalogue.clips(CORPUS)]
    plan = plan_features.fn(CORPUS, specs, ids, recipe.shard_clips)
    for shard in plan.shards:
        extract_shard.fn(CORPUS, shard)
    features = dict(plan.features)
    inputs = {
        name: StreamInput(name, recipe.table_name(name), recipe.streams[name], features[name])
        for name in recipe.reads
    }
    views = [View(dataset, name, "run") for name in dataset.views]
    fused = [fuse_view.fn(view, inputs, FusionJob("fused", neural_choice(recipe.fusion))) for view in views]
    final = next(view for view in views if view.name == FINAL_VIEW)
    evaluation = evaluate.fn(final, fused, "fused", recipe.label_shift)
    domain = training_domain.fn(dataset, {view.name: inputs for view in views}, "utterance")
    served = next(item for item in fused if item.view == FINAL_VIEW)
    version = register.fn(final, RegisteredAs(CORPUS, recipe), inputs, served, evaluation, domain)
    close_tracked_run.fn(final, recipe, evaluation)
    promotion = gate_and_promote.fn(dataset, recipe.gate, version, evaluation, None)
    return {
        "sha256": version.ref.sha256,
        "ran": sum(not item.found for item in fused) + evaluation.ran,
        "accepted": report.accepted,
        "quarantined": report.quarantined,
        "promotion": promotion.decision,
        "reason": promotion.reason,
    }


def without_servers() -> None:
    """MLflow is there, but takes nothing: events wait in the spool, and the gate may promote."""
    from infra.tracking import Mirrored, Tracker
    from infra.tracking.mlflow_sink import MlflowSink
    from infra.tracking.spool import TrackingDown

    def down(*_: object) -> None:
        raise TrackingDown("not in these tests")

    MlflowSink.send = down  # type: ignore[method-assign]
    MlflowSink.reachable = lambda *_: True  # type: ignore[method-assign]
    Tracker.mirror = lambda *_, **__: Mirrored()  # type: ignore[method-assign]


def counting_commits() -> list[str]:
    """Kinds of the artifacts that this process commits from now on, which are those of the steps that it does."""
    from infra.artifacts import ArtifactRef, ArtifactStore

    commit, kinds = ArtifactStore.commit, []  # type: ignore[var-annotated]

    def counted(self: ArtifactStore, kind: str, *rest: Any, **more: Any) -> ArtifactRef:
        kinds.append(kind)
        return commit(self, kind, *rest, **more)

    ArtifactStore.commit = counted  # type: ignore[method-assign]
    return kinds


def age_leftovers(home: Path) -> None:
    """Temporary files get old, as they would until the next start the day after."""
    old = time.time() - DEAD_SECONDS
    for path in home.rglob("*"):
        if any(
            part.endswith((".partial", ".tmp")) or part == ".staging" for part in path.relative_to(home).parts
        ):
            os.utime(path, (old, old))


def carry_out(order: dict[str, Any], shim: Any) -> dict[str, Any]:
    """Run the pipeline with the fault of the order; gives what came of it."""
    from flows.explained_errors import explained

    os.environ["MER_HOME"] = order["home"]
    started = time.monotonic()
    answer: dict[str, Any] = {}
    kinds = counting_commits()
    try:
        if order.get("recover"):
            from flows.upkeep import put_right

            age_leftovers(Path(order["home"]))
            answer["lines"] = put_right()
        shim.arm(order["home"].encode(), order["mode"], order["position"], order["errno"])
        answer["result"] = run(order["corpus"])
    except Exception as error:
        shim.disarm()
        answer["error"], answer["message"] = type(error).__name__, str(error)
        answer["explained"] = explained(error)
        answer["traceback"] = "".join(traceback.format_exception(error))
    shim.disarm()
    answer |= {
        "operations": shim.count(),
        "commits": len(kinds),
        "happened": shim.what_happened().decode(errors="replace"),
        "seconds": time.monotonic() - started,
    }
    return answer


def serve() -> None:
    """Read an order a line, run it in a child, answer a line."""
    import ctypes

    shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
    shim.count.restype = ctypes.c_long
    shim.arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
    shim.what_happened.restype = ctypes.c_char_p
    without_servers()
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        if order.get(
            "here"
        ):  # so that children find what is computed once a process: code versions, parsed recipes
            answer = carry_out(order, shim)
        else:
            answer = in_child(order, shim)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def in_child(order: dict[str, Any], shim: Any) -> dict[str, Any]:
    """Carry the order out in a child, which may be killed; `signal` says by what."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        os.setsid()
        status = 1
        try:
            with os.fdopen(writer, "w") as out:
                out.write(json.dumps(carry_out(order, shim)))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(int(order["limit"]))
    with os.fdopen(reader) as read:
        text = read.read()
    _, status = os.waitpid(child, 0)
    left = signal.alarm(0)
    answer: dict[str, Any] = json.loads(text) if text else {}
    return answer | {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, "hung": left == 0}


if __name__ == "__main__":
    serve()
