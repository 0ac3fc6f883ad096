"""PEFT on one view: a block of a stream's encoder is adapted, and the adapted features it gives (system A for speech, 2;
system B for pictures and text).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.features.spec import FeatureSpec
from mer.recipes import Stream
from tasks.data.arithmetic import read_in
from tasks.data.dataset import clip_ids_of, load_view
from tasks.data.features import commit_shard, content_digest, content_ids, cut, frame_table, representatives
from tasks.learn.cross_fitting import embed_posteriors, open_cross_fitted, produce_cross_fitted
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.part_progress import told_as
from tasks.stage.references import FeatureSetRef, PrefixVariants, View
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.adaptation.finetune import AdaptedBlock
    from mer.encoders.placement import Placement
    from mer.features.clip_feature import ClipFeature


@task(name="adapt", task_run_name="adapt {name} {view.name}", tags=["gpu"])
def adapt_view(view: View, name: str, stream: Stream, variants: PrefixVariants, block: Block) -> StageResult:
    """PEFT of the block on the view's training speakers, from the cached frozen prefix and its augmented variants.

    Where the stream is read as posteriors, one fit without each inner fold of the view's labelled speakers.
    """
    spec, config, words = stream.features, _adaptation(name, stream), stream.class_words
    posteriors = stream.adapted_posteriors
    emotions = view.dataset.emotions
    examples, partition = load_view(workspace(), view)
    keep = partition.train | partition.validation
    clip_ids = [examples.clip_ids[i] for i in np.flatnonzero(keep)]

    def produce(run: StageRun) -> Produced:
        from mer.adaptation.finetune import LabelledFrames, adapt, save_adapter
        from mer.encoders import resolve_weights
        from mer.features.layered import adaptation_placement, base_identity, load_layers
        from mer.training.fit_masks import FitMasks
        from mer.training.resumable import Resumable

        weights = resolve_weights(spec.source, run.space.weights)
        encoder = load_layers(spec, weights, adaptation_placement(spec, weights, run.space.weights), words)
        identity = base_identity(spec, weights)
        if posteriors is not None:
            labelled, options = examples.subset(np.flatnonzero(keep)), (config, posteriors, len(emotions))
            told = told_as(view.name)
            return produce_cross_fitted(run, (encoder, identity), block, variants, labelled, options, told)
        adaptation = adapt(
            encoder,
            block,
            LabelledFrames(
                frame_table(run.space, variants.plain, clip_ids),
                examples.emotion[keep],
                len(emotions),
                [frame_table(run.space, variant, clip_ids) for variant in variants.augmented],
            ),
            FitMasks(partition.train[keep], partition.validation[keep]),
            config,
            Resumable(run.checkpoint, told_as(view.name)),
        )
        folder = run.folder / "adapter"
        save_adapter(folder, adaptation, identity, block, config)
        best = adaptation.history[adaptation.best_epoch]
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={
                "best_epoch": adaptation.best_epoch,
                "start": block.start,
                "stop": block.stop,
                **({"validation_waf": best["validation_waf"]} if "validation_waf" in best else {}),
            },
            metrics={"best_epoch": adaptation.best_epoch},
            history=adaptation.history,
        )

    # a changed transcript is another content under the same feature key
    contents = content_digest(variants.plain, clip_ids)
    return run_stage(
        "adapter",
        inputs={
            "view": partition.digest(examples, unlabelled=False),
            "prefix": variants.plain.key,
            **({"variants": [variant.key for variant in variants.augmented]} if variants.augmented else {}),
            "contents": contents,
        },
        config={
            "adaptation": config.model_dump(mode="json"),
            "block": [block.start, block.stop],
            "classes": len(emotions),
            **({"posteriors": posteriors.model_dump(mode="json")} if posteriors is not None else {}),
            **({"label_words": list(words)} if words else {}),
            **({"tokens": spec.tokens} if spec.tokens != "class" else {}),
        },
        produce=produce,
        implementations=encoder_layers(workspace(), spec),
        label=f"adapt {name} {view.name}",
        parent_run=view.parent_run,
    )


@task(name="embed adapted", task_run_name="embed adapted {name} {view.name}", tags=["gpu"])
def embed_adapted(
    view: View, name: str, stream: Stream, variants: PrefixVariants, adapter: ArtifactRef, shard_clips: int
) -> FeatureSetRef:
    """Adapted features of all clips that lack them, shard by shard; keyed by the adapter, so new clips cost only themselves."""
    space = workspace()
    further = {"speeds": [variant.key for variant in variants.speeds]} if variants.speeds else {}
    layers, said = encoder_layers(space, stream.features), stream.adapted_posteriors is not None
    code = (
        code_version(open_cross_fitted, embed_posteriors, implementations=layers)
        if said
        else code_version(open_adapter, _embed, implementations=layers)
    )
    key = digest({"adapter": adapter.sha256, "prefix": variants.plain.key, "code": code, **further})
    adapted = FeatureSetRef(stream=name, key=key, spec=None, derived_from=variants.plain)
    missing = representatives(space, adapted, clip_ids_of(view.dataset))
    if missing:
        with computing(
            space.settings
        ):  # building a block draws from the generators another view may be training with
            embed, placement = _embedding(space, stream, variants, adapter)
        for shard in cut(missing, shard_clips):
            contents = list(content_ids(space, adapted, shard).values())
            facts = partial(_facts, space, placement, variants, shard)
            commit_shard(space, adapted.key, contents, partial(embed, shard), code, facts)
    return adapted


def encoder_layers(space: Workspace, spec: FeatureSpec) -> tuple[str, ...]:
    """Implementations of the layers that the encoder of a feature has."""
    from mer.encoders.weights import resolve_weights
    from mer.features.layered import layer_implementations

    return layer_implementations(spec, resolve_weights(spec.source, space.weights))


def open_adapter(space: Workspace, spec: FeatureSpec, adapter: ArtifactRef) -> AdaptedBlock:
    """The adapted block, on the base it was trained on; `spec` are the stream's frozen features."""
    from mer.adaptation.finetune import load_adapter
    from mer.encoders import resolve_weights
    from mer.features.layered import adaptation_placement, base_identity, load_layers

    weights = resolve_weights(spec.source, space.weights)
    encoder = load_layers(spec, weights, adaptation_placement(spec, weights, space.weights))
    return load_adapter(space.artifacts.fetch(adapter), encoder, base_identity(spec, weights))


def _embed(
    space: Workspace, block: AdaptedBlock, variants: PrefixVariants, clip_ids: Sequence[str]
) -> list[ClipFeature]:
    from mer.adaptation.finetune import adapted_features
    from mer.features.dataset import table_rows
    from mer.predictor.streams import averaged

    read = (frame_table(space, variant, clip_ids) for variant in (variants.plain, *variants.speeds))
    return table_rows(averaged([adapted_features(block, frames) for frames in read]))


def _embedding(
    space: Workspace, stream: Stream, variants: PrefixVariants, adapter: ArtifactRef
) -> tuple[Callable[[Sequence[str]], list[ClipFeature]], Placement]:
    """What gives the adapted features of clips, and where it computes."""
    if stream.adapted_posteriors is not None:
        fitted = open_cross_fitted(space, stream.features, adapter)
        return partial(embed_posteriors, space, fitted, variants), fitted.encoder.placement
    block = open_adapter(space, stream.features, adapter)
    return partial(_embed, space, block, variants), block.layers.encoder.placement


def _facts(
    space: Workspace, placement: Placement, variants: PrefixVariants, clip_ids: Sequence[str]
) -> dict[str, str]:
    """What a shard of adapted features is computed in, and what the frames it reads were."""
    from mer.encoders.placement import computed_in

    read = read_in(space, (variants.plain, *variants.speeds), clip_ids)
    return {**computed_in(placement), "read": read}


def _adaptation(name: str, stream: Stream) -> AdaptationConfig:
    if stream.adaptation is None:
        raise ValueError(f"stream {name} has no adaptation")
    return stream.adaptation
