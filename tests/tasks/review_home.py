"""A catalogue with sounds to review and a version that has answers for them, without any training."""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infra.artifacts import ArtifactRef
from infra.catalogue import ClipUpsert, GenerationFacts, GenerationState
from mer.posteriors import Posteriors
from mer.predictor.package import RECORD, ModelPackage
from mer.recipes import Recipe
from tasks.data.reviewed import labels_of_today
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD, UNLABELLED
from tasks.stage.workspace import Workspace

EMOTIONS = ("neutral", "angry", "happy", "sad")
CORPUS = MODEL = "spoken"


def catalogue_sounds(space: Workspace, root: Path, labelled: int, unlabelled: int) -> None:
    """`l00 ...` with labels in turn, `u00 ...` without, `t0` of the test part; each a tone of its own, on disk."""
    root.mkdir(parents=True, exist_ok=True)
    space.catalogue.upsert_corpus(CORPUS, str(root), "table", EMOTIONS)
    names = [f"l{n:02d}" for n in range(labelled)] + [f"u{n:02d}" for n in range(unlabelled)] + ["t0"]
    rows = []
    for number, name in enumerate(names):
        path = root / f"{name}.wav"
        tone(path, 200 + 10 * number)
        split = {"l": "train", "u": "unlabelled", "t": "test"}[name[0]]
        rows.append(
            ClipUpsert(
                name=name, content=hashlib.sha256(path.read_bytes()).hexdigest(), path=str(path), size=path.stat().st_size,
                mtime_ns=path.stat().st_mtime_ns, duration_seconds=0.3, has_audio=True, has_video=False,
                speaker=f"s{number % 6}", split=split,
            )
        )  # fmt: skip
    space.catalogue.upsert_clips(CORPUS, rows)
    labels = [(f"l{n:02d}", EMOTIONS[n % len(EMOTIONS)], None) for n in range(labelled)]
    space.catalogue.set_gold_labels(CORPUS, [*labels, ("t0", "sad", None)])


def tone(path: Path, hertz: float, seconds: float = 0.3) -> None:
    """A sine in 16 bits at 8 kHz."""
    samples = 8000 * np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)
    with wave.open(str(path), "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(8000)
        sink.writeframes(samples.astype("<i2").tobytes())


def add_pseudo_labels(space: Workspace, count: int, key: str = "g1") -> str:
    """A live generation that calls the first `count` unlabelled clips neutral; returns its key."""
    clips = [row for row in space.catalogue.clips(CORPUS) if row.emotion is None][:count]
    ref = ArtifactRef(kind="selection", key="0" * 64, sha256="0" * 64, meta={})
    facts = GenerationFacts(
        key=key, corpus=CORPUS, artifact=ref, policy={}, counts={"neutral": count}, state=GenerationState.LIVE
    )
    space.catalogue.add_generation(facts, [(row.name, row.content, "neutral", 0.9, None) for row in clips])
    return key


def register_version(
    space: Workspace, *, wrong: Sequence[str] = (), right: float = 4.0, generations: Sequence[str] = ()
) -> int:
    """A version of the clips and labels of today; it contradicts the labels of `wrong`, and is less sure of `uNN` with NN.

    `right`: logit of the class that it names for a labelled clip.
    """
    stream = {"features": {"modality": "acoustic", "source": "files:clip-UTT"}}
    recipe = Recipe.model_validate(
        {"name": "none", "emotions": EMOTIONS, "acoustic": stream, "pseudo_labels": {}}
    )
    rows = labels_of_today(space, CORPUS, space.catalogue.clips(CORPUS), soft=False)
    snapshot = space.catalogue.snapshot(CORPUS, rows)
    labelled = [row for row in rows if row.emotion is not None and row.split == "train"]
    named = [(EMOTIONS.index(str(row.emotion)) + (row.name in wrong)) % len(EMOTIONS) for row in labelled]
    free = [row.name for row in rows if row.emotion is None]
    unsure = np.array([[4.0 / (1 + int(name[1:])), 0, 0, 0] for name in free], np.float32).reshape(-1, 4)
    said = {
        OUT_OF_FOLD: posteriors([row.name for row in labelled], right * np.eye(4, dtype=np.float32)[named]),
        HOLDOUT: posteriors(["t0"], np.eye(4, dtype=np.float32)[[3]]),
        UNLABELLED: posteriors(free, unsure),
    }
    key = hashlib.sha256(f"{snapshot.id} {wrong} {right} {generations}".encode()).hexdigest()
    package = ModelPackage(recipe=recipe, system="fused", generations=tuple(generations))
    model = space.artifacts.commit("model", key, {RECORD: package.model_dump_json().encode()})
    files = {name: own.to_parquet() for name, own in said.items()}
    evaluation = space.artifacts.commit("evaluation", key, {**files, "report.json": b"{}"})
    number = space.catalogue.add_model_version(
        MODEL, model, evaluation=evaluation, snapshot=snapshot.id, metrics={}, idempotency_key=key
    )
    space.catalogue.set_alias(MODEL, "champion", number, "made by a test")
    return number


def posteriors(names: Sequence[str], logits: np.ndarray) -> Posteriors:
    """Without valence."""
    return Posteriors(tuple(names), logits.astype(np.float32), np.full(len(names), np.nan, np.float32))
