"""Adapters of a view cross-fitted over inner folds, and the log-posteriors that they give of every clip (see
`mer.adaptation.cross_fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from infra.artifacts import ArtifactRef
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.posteriors_config import AdaptedPosteriors
from mer.examples import Examples
from mer.features.spec import FeatureSpec
from tasks.data.features import content_ids, frame_table
from tasks.stage.references import PrefixVariants
from tasks.stage.run import Produced, StageRun
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.adaptation.block import BlockEncoder
    from mer.adaptation.cross_fit import CrossFitted
    from mer.features.clip_feature import ClipFeature
    from mer.training.resumable import Progress


def produce_cross_fitted(
    run: StageRun,
    encoder: tuple[BlockEncoder, str],
    block: Block,
    variants: PrefixVariants,
    examples: Examples,
    options: tuple[AdaptationConfig, AdaptedPosteriors, int],
    told: Progress,
) -> Produced:
    """Fit the adapters of all inner folds and seeds on a view's labelled clips.

    Args:
        run: of the stage.
        encoder: with the identity that its adapters belong to.
        block: layers to adapt.
        variants: the cached prefix.
        examples: the labelled clips that the view may see, validation speakers too.
        options: of every fit, of the cross-fitting, and the number of classes.
        told: called after every epoch with those that are done and all, over all fits.

    Returns:
        The files of one adapter, and the score of the posteriors on the clips that they were not fitted on.
    """
    from mer.adaptation.cross_fit import CrossFitted, cross_fit, save_cross_fitted
    from mer.adaptation.finetune import LabelledFrames
    from mer.evaluation.metrics import confusion, waf
    from mer.training.checkpoint import Checkpoint
    from mer.training.folds import assign_folds
    from mer.training.resumable import Resumable

    config, posteriors, classes = options
    clip_ids = list(examples.clip_ids)
    contents = list(content_ids(run.space, variants.plain, clip_ids).values())
    fold = assign_folds(examples.speaker, clip_ids, examples.emotion, posteriors.folds, config.seed, contents)
    frames = LabelledFrames(
        frame_table(run.space, variants.plain, clip_ids),
        examples.emotion,
        classes,
        [frame_table(run.space, variant, clip_ids) for variant in variants.augmented],
    )

    epochs = config.epochs * (int(fold.max(initial=0)) + 1) * posteriors.seeds

    def resume(fit: int) -> Resumable:
        def tell(done: int, total: int) -> None:
            told(fit * total + done, epochs)

        return Resumable(Checkpoint(run.folder / f"fit{fit}.safetensors"), tell)

    fits = cross_fit(encoder[0], block, frames, fold, (config, posteriors), resume)
    fold_of = dict(zip(contents, fold.tolist(), strict=True))
    fitted = CrossFitted(encoder[0], block, config, fits, fold_of, int(fold.max()) + 1)
    folder = run.folder / "adapter"
    save_cross_fitted(folder, fitted, encoder[1])
    table = fitted.log_posteriors([frames.frames], contents)
    known = table.present & (examples.emotion >= 0)
    counts = confusion(examples.emotion[known], table.values[known].argmax(axis=1), classes)
    score = float(waf(counts))
    return Produced(
        files={path.name: path for path in sorted(folder.iterdir())},
        meta={
            "best_epoch": len(fits[0].history) - 1,
            "start": block.start,
            "stop": block.stop,
            "fits": len(fits),
            "validation_waf": score,
        },
        metrics={"validation_waf": score, "fits": float(len(fits))},
        history=[
            {
                name: float(np.mean([one.history[epoch][name] for one in fits]))
                for name in fits[0].history[epoch]
            }
            for epoch in range(len(fits[0].history))
        ],
    )


def open_cross_fitted(space: Workspace, spec: FeatureSpec, adapter: ArtifactRef) -> CrossFitted:
    """The cross-fitted adapters on the encoder they were fitted on; `spec` are the stream's frozen features."""
    from mer.adaptation.cross_fit import load_cross_fitted
    from mer.encoders import resolve_weights
    from mer.features.layered import adaptation_placement, base_identity, load_layers

    weights = resolve_weights(spec.source, space.weights)
    encoder = load_layers(spec, weights, adaptation_placement(spec, weights, space.weights))
    return load_cross_fitted(space.artifacts.fetch(adapter), encoder, base_identity(spec, weights))


def embed_posteriors(
    space: Workspace, fitted: CrossFitted, variants: PrefixVariants, clip_ids: Sequence[str]
) -> list[ClipFeature]:
    """Log-posteriors of these clips, (1, classes) each."""
    from mer.features.dataset import table_rows

    read = [frame_table(space, variant, clip_ids) for variant in (variants.plain, *variants.speeds)]
    contents = list(content_ids(space, variants.plain, clip_ids).values())
    return table_rows(fitted.log_posteriors(read, contents))
