"""A registered version with everything that a report reads, made up in a second: clips without media, answers by a seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.catalogue import ClipUpsert, GenerationFacts, ModelVersionRow, QualityRow
from mer.conformal.measured import measured_answers
from mer.evaluation.report import evaluate_systems
from mer.posteriors import Posteriors
from mer.predictor.package import RECORD, ModelPackage
from mer.recipes import Recipe
from mer.report.plane import principal_plane
from tasks.data.dataset import holdout_parts, load_examples, snapshot_dataset
from tasks.data.quality import quality_method
from tasks.report import run_results
from tasks.serve.evaluation_files import HOLDOUT, OUT_OF_FOLD
from tasks.stage.references import SnapshotPlan
from tasks.stage.run import digest
from tasks.stage.workspace import Workspace

EMOTIONS = ("angry", "happy", "sad")


@dataclass(frozen=True)
class MadeUp:
    """How large the corpus is, and what is called how."""

    clips: int = 60
    speakers: int = 6
    prefix: str = "clip"
    speaker_prefix: str = "speaker"
    seed: int = 0
    kept: bool = True
    """Whether the run kept figures of its stages."""


def register_version(space: Workspace, made: MadeUp = MadeUp(), model: str = "made-up") -> ModelVersionRow:
    """Catalogue a corpus called as the model, and register a version that was evaluated on it, as champion if it is the first."""
    generator = np.random.default_rng(made.seed)
    recipe = Recipe.model_validate(
        {
            "name": "made-up",
            "emotions": EMOTIONS,
            "folds": {"count": 3, "use_published": False},
            "visual": {"features": {"modality": "visual", "source": "files:faces"}},
            "acoustic": {"features": {"modality": "acoustic", "source": "files:voices"}},
            "pseudo_labels": {},
        }
    )
    _catalogue(space, model, made)
    dataset = snapshot_dataset.fn(model, SnapshotPlan.of(recipe))
    clips = load_examples(space, dataset)
    examples = clips.examples
    folded = np.flatnonzero(examples.fold >= 0)
    held = np.flatnonzero(clips.holdout & (examples.emotion >= 0))

    def answers(rows: np.ndarray, noise: float) -> Posteriors:
        logits = 2.0 * np.eye(len(EMOTIONS))[examples.emotion[rows]] + generator.normal(
            0, noise, (len(rows), 3)
        )
        names = tuple(examples.clip_ids[row] for row in rows)
        valence = np.full(len(rows), np.nan, np.float32)
        return Posteriors(names, logits.astype(np.float32), valence)

    out_of_fold = {
        "fused": answers(folded, 1.2),
        "visual": answers(folded, 2.0),
        "logistic": answers(folded, 1.6),
    }
    holdout = answers(held, 1.2)
    report = evaluate_systems(
        examples,
        out_of_fold,
        holdout,
        EMOTIONS,
        served="fused",
        parts=holdout_parts(space, dataset),
        against=("logistic",),
    )
    evaluation = space.artifacts.commit(
        "evaluation",
        f"evaluation-{model}-{made.seed}",
        {
            "report.json": json.dumps(
                report.to_json()
                | {
                    "answers": measured_answers(
                        out_of_fold["fused"].logits,
                        examples.emotion[folded],
                        examples.fold[folded],
                        [examples.speaker[row] for row in folded],
                    )
                }
            ).encode(),
            OUT_OF_FOLD: out_of_fold["fused"].to_parquet(),
            HOLDOUT: holdout.to_parquet(),
        },
        meta={"temperature": report.temperature},
    )
    package = ModelPackage(recipe=recipe, system="fused", temperature=report.temperature)
    record = space.artifacts.commit(
        "model", f"model-{model}-{made.seed}", {RECORD: package.model_dump_json().encode()}
    )
    if made.kept:
        _keep(
            space,
            evaluation.key,
            out_of_fold["fused"],
            [int(examples.emotion[row]) for row in folded],
            report.to_json(),
        )
    _generation(
        space,
        model,
        record,
        dataset.membership,
        [name for name in examples.clip_ids if name.startswith("unlabelled")],
    )
    version = space.catalogue.add_model_version(
        model,
        record,
        evaluation=evaluation,
        snapshot=dataset.membership,
        metrics=report.headline,
        idempotency_key=record.key,
        origin={
            "recipe": "made-up",
            "corpus": model,
            "code": "0.7.0",
            "commit": "c0ffee" * 6 + "c0ff",
            "by": "a test",
        },
    )
    alias = "champion" if version == 1 else "challenger"
    space.catalogue.set_alias(model, alias, version, f"made up: version {version}", evidence="{}")
    return space.catalogue.model_version(model, version)


def _catalogue(space: Workspace, corpus: str, made: MadeUp) -> None:
    catalogue = space.catalogue
    catalogue.upsert_corpus(corpus, f"/{corpus}", "table", EMOTIONS)
    rows, labels = [], []
    for number in range(made.clips):
        name = f"{made.prefix}{number:05d}"
        test = number % 10 == 9
        rows.append(
            ClipUpsert(
                name=name, content=f"{number:064x}", path=f"/{corpus}/{number}.wav", size=1, mtime_ns=1, duration_seconds=1.0,
                has_audio=True, has_video=True, speaker=f"{made.speaker_prefix}{number % made.speakers}",
                split="test" if test else "train", part=f"test{number % 2 + 1}" if test else None,
            )
        )  # fmt: skip
        labels.append((name, EMOTIONS[number * 7 // 2 % 3], None))
    for number in range(3):
        rows.append(
            ClipUpsert(
                name=f"unlabelled{number}", content=f"{10**9 + number:064x}", path=f"/{corpus}/u{number}.wav", size=1, mtime_ns=1,
                duration_seconds=1.0, has_audio=True, has_video=True,
            )
        )  # fmt: skip
    catalogue.upsert_clips(corpus, rows)
    catalogue.set_gold_labels(corpus, labels)
    catalogue.quarantine(corpus, "broken", f"/{corpus}/broken.mp4", "truncated", "it ends too early")
    method = quality_method("haar")
    catalogue.set_quality(
        [
            QualityRow(
                content=row.content, method=method, duration_seconds=1.0 + number / 10, snr_db=float(number)
            )
            for number, row in enumerate(rows[:5])
        ]
    )


def _keep(
    space: Workspace, evaluation: str, answers: Posteriors, truth: Sequence[int], report: dict[str, object]
) -> None:
    """What `tasks.report.run_figures` writes."""
    places, shares = principal_plane(answers.logits)
    space_of = {"x": places[:, 0].tolist(), "y": places[:, 1].tolist(), "shares": list(shares)}
    study = {
        "mean": [0.4, 0.6, 0.55], "low": [0.3, 0.5, 0.45], "high": [0.5, 0.7, 0.65], "weights": [0.2, 0.5, 0.3],
        "best_block": [0, 1], "best_layer": 1,
    }  # fmt: skip
    retrieval = {
        f"{way}_r{rank}": rank / 20
        for way in ("trained_to_anchor", "anchor_to_trained", "chance")
        for rank in (1, 5, 10)
    }
    values = {
        run_results.LAYERS: {"acoustic": {"fold0": study, "final": study}},
        run_results.ALIGNMENT: {"visual": {"final": {**retrieval, "retrieval_clips": 12.0}}},
        run_results.CURVES: {
            "fusion fused": {"final": [{"epoch": step, "loss": 1 / (step + 1), "validation_waf": step / 10} for step in range(6)]}
        },
        run_results.SEARCH: {
            "fusion fused": {"final": [{"candidate": 0.0, "weight": 1.0, "loss": 0.5, "waf": 0.7, "width": 2.0, "penalty": 0.1}]}
        },
        run_results.DIFFERENCES: [
            {**row, run_results.P_VALUE: 0.0124, run_results.P_HOLM: 0.0248, "exchanges": 64, "exchanged": 6}
            for row in report["differences"]  # type: ignore[attr-defined]
        ],
        run_results.WEIGHTS: {
            "clips": 12, "weight": {"acoustic": 0.7, "visual": 0.3}, "lost": {"acoustic": 0.2, "visual": -0.01},
            "lost_by_class": {name: {"acoustic": 0.2, "visual": 0.05} for name in EMOTIONS},
        },
        run_results.MAPS: {
            "clips": list(answers.clip_ids[:600]), "emotion": list(truth[:600]),
            "spaces": {"answers out of fold": {name: value[:600] for name, value in space_of.items()}},
        },
        run_results.STAGES: [],
    }  # fmt: skip
    files = {name: json.dumps(value).encode() for name, value in values.items()}
    ref = space.artifacts.commit(
        run_results.KIND, f"figures-{evaluation}", files, meta={"evaluation": evaluation}
    )
    space.catalogue.record_artifact(ref, stage=run_results.KIND, code_version="test")


def _generation(space: Workspace, corpus: str, artifact: object, snapshot: str, names: Sequence[str]) -> None:
    facts = GenerationFacts(
        key=digest([corpus, snapshot]), corpus=corpus, recipe="made-up", artifact=artifact, policy={"snapshot": snapshot},  # type: ignore[arg-type]
        counts={"angry": 1, "happy": 0, "sad": 2}, thresholds={"angry": 0.8, "happy": None, "sad": 0.7},
        precision={"angry": [3, 4], "happy": [0, 0], "sad": [5, 5]}, reason="the canary agrees",
    )  # fmt: skip
    rows = [(name, f"{10**9 + number:064x}", "sad", 0.9, None) for number, name in enumerate(names)]
    space.catalogue.add_generation(facts, rows)
