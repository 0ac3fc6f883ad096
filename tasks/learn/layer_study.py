"""The layer study on one view, of any stream's encoder: which hidden states carry emotion, and which block to adapt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prefect import task

from mer.features.spec import FeatureSpec
from mer.layer_study.config import LayerStudyConfig
from tasks.data.dataset import load_view
from tasks.data.features import content_digest, feature_table, frame_table
from tasks.data.kept_extractor import cached_extractor
from tasks.stage.compute import computing
from tasks.stage.references import FeatureSetRef, View
from tasks.stage.run import Produced, StageResult, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.layer_study.scores import LayerStudy
    from mer.layer_study.study import FramedStates, PooledStates


@task(name="layer study", task_run_name="layer study {stream} {view.name}", tags=["gpu"])
def study_layers_of_view(
    view: View, stream: str, config: LayerStudyConfig, states: Sequence[FeatureSetRef]
) -> StageResult:
    """Score every layer on the view's training clips and choose the block; meta: `start`, `stop`, `best_layer`.

    Args:
        view: whose training clips are seen.
        stream: whose encoder is studied.
        config: options of the study.
        states: one set of all hidden states, pooled; or one set of frames for every hidden state, in order.
    """
    examples, partition = load_view(workspace(), view)
    training = [
        clip_id
        for clip_id, in_training in zip(examples.clip_ids, partition.train, strict=True)
        if in_training
    ]

    def produce(run: StageRun) -> Produced:
        from mer.layer_study.study import study_training_clips

        study = study_training_clips(examples, partition, _states(run.space, states), config)
        return _produced(study, config, stream, view.name)

    inputs = {
        "view": partition.digest(examples, unlabelled=False),
        "features": states[0].key if len(states) == 1 else [state.key for state in states],
        "contents": content_digest(states[0], training),
    }
    return run_stage(
        "layer-study",
        inputs=inputs,
        config={
            "layer_study": config.model_dump(mode="json"),
            "classes": len(view.dataset.emotions),
            "stream": stream,  # its figure says whose it is
        },
        produce=produce,
        label=f"layer study {stream} {view.name}",
        parent_run=view.parent_run,
    )


@task(name="count hidden states", tags=["gpu"])
def count_hidden_states(spec: FeatureSpec) -> int:
    """Number of hidden states of an encoder, its front end included."""
    space = workspace()
    with computing(space.settings):
        extractor = cached_extractor((spec.model_copy(update={"pooling": "mean"}),), space.weights)
        (feature,) = extractor.absent()
    return int(feature.values.shape[1])


def _states(space: Workspace, states: Sequence[FeatureSetRef]) -> PooledStates | FramedStates:
    from mer.layer_study.study import FramedStates, PooledStates

    if len(states) == 1:
        return PooledStates(lambda clip_ids: feature_table(space, states[0], clip_ids))
    return FramedStates(len(states), lambda state, clip_ids: frame_table(space, states[state], clip_ids))


def _produced(study: LayerStudy, config: LayerStudyConfig, stream: str, view: str) -> Produced:
    from mer.evaluation.figures import LayerScores, layer_curve

    figure = layer_curve(
        LayerScores(study.mean, study.low, study.high, config.score, config.confidence),
        (study.best_block.start, study.best_block.stop),
        weights=study.weights,
        title=f"{stream} encoder, view {view}" + (f", {config.pooling} pooling" if config.pooling else ""),
    )
    return Produced(
        files={"study.json": study.to_json().encode(), "layers.png": figure},
        meta={
            "stream": stream,
            "start": study.best_block.start,
            "stop": study.best_block.stop,
            "best_layer": study.best_layer,
            "scores": ",".join(f"{score:.4f}" for score in study.mean),
        },
        metrics={
            **{f"layer_{layer}_score": float(score) for layer, score in enumerate(study.mean)},
            **{f"layer_{layer}_weight": float(share) for layer, share in enumerate(study.weights)},
        },
        figures={"layers.png": figure},
    )
