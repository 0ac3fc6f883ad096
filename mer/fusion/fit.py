"""Training a fusion model, keeping it, and predicting with it.

The fit is a function of its arguments alone: initialisation, order, dropout and stream dropout of every
epoch come from generators derived from (seed, epoch). A run that was killed goes on from its last
checkpoint and ends bit for bit where an undisturbed one ends (same machine, same number of threads).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError
from mer.examples import Examples
from mer.fusion.config import ROBUST_LOSS_OPTIONS, FusionConfig
from mer.fusion.fitted import FittedFusion
from mer.fusion.interface import FusionModel, FusionOutput, FusionShape, build_fusion
from mer.fusion.streams import (
    Standardisation,
    StreamBatch,
    StreamTable,
    check_aligned,
    clips_of,
    standardisation_of,
    stream_batch,
)
from mer.fusion.task_balance import start_model
from mer.fusion.train import TrainingData, batches_for_reading, train_fusion
from mer.fusion.warm_start import take_parameters, taken_standardisation
from mer.fusion.windows import read_tables
from mer.posteriors import Posteriors
from mer.training.checkpoint import content_digest
from mer.training.resumable import Resumable
from mer.training.seeding import epoch_generator, initialise


@dataclass(frozen=True)
class FusionResumable(Resumable):
    """The checkpoint and progress of a fit, and where it starts when there is no checkpoint."""

    start: FittedFusion | None = None
    """Model whose parameters and standardisation the fit starts from; None: from the seed."""


FROM_SEED = FusionResumable()
"""A fit that starts from its seed, keeps no checkpoint and tells nobody."""


def fit_fusion(
    features: Mapping[str, StreamTable],
    examples: Examples,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    classes: Sequence[str],
    config: FusionConfig,
    resume: FusionResumable = FROM_SEED,
) -> FittedFusion:
    """Train a fusion model on `train`, keep the epoch that is best on `validation`.

    Args:
        features: stream name -> utterance or framewise features, clips as in `examples`.
        examples: labels, soft targets and weights of N clips; -1 and NaN are left out of the losses.
        train: (N,) clips to learn from.
        validation: (N,) clips to choose the epoch by, of other speakers; none: the last epoch is kept.
        classes: class names in index order.
        config: model and training options.
        resume: checkpoint and progress, and the model that this fit starts from; a checkpoint of other
            inputs is ignored.

    Raises:
        ConfigError: streams that do not fit the examples, overlapping masks, fewer than two classes to
            learn, soft targets of other classes, or a model of another structure to start from.
        DivergedError: more than 3 steps without finite loss and gradient.
    """
    start = resume.start
    check_aligned(features, examples.clip_ids)
    _check_labels(examples, train, validation, classes)
    features = read_tables(features, config)
    standardisation: Mapping[str, Standardisation]
    if start is None:
        standardisation = {name: standardisation_of(name, table, train) for name, table in features.items()}
    else:
        standardisation = taken_standardisation(start, features, classes, config)
    widths = {name: len(statistics.mean) for name, statistics in standardisation.items()}
    streams = stream_batch(features, standardisation, len(examples))
    data = training_data(streams, examples, train, validation, len(classes))
    model = started_model(data, widths, len(classes), config)
    if start is not None:
        take_parameters(model, start.tensors)
    learns_valence = config.valence_weight > 0 and bool(np.isfinite(examples.valence[train]).any())
    identity = _identity(data, config, classes, None if start is None else start.tensors)
    outcome = train_fusion(model, data, config, identity, resume.checkpoint, resume.progress)
    return FittedFusion(
        config=config,
        classes=tuple(classes),
        widths=widths,
        tensors=outcome.tensors,
        standardisation=standardisation,
        predicts_valence=learns_valence,
        history=outcome.history,
        best_epoch=outcome.best_epoch,
        best_score=outcome.best_score,
    )


def training_data(
    streams: StreamBatch,
    examples: Examples,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    classes: int,
) -> TrainingData:
    """The clips of `examples` with their standardised streams, as tensors."""
    target = examples.distributions(classes)
    return TrainingData(
        streams=streams,
        emotion=torch.from_numpy(examples.emotion),
        valence=torch.from_numpy(examples.valence),
        weight=torch.from_numpy(examples.weight),
        train=torch.from_numpy(np.flatnonzero(train)),
        validation=torch.from_numpy(np.flatnonzero(validation)),
        target=None if target is None else torch.from_numpy(target),
    )


def started_model(
    data: TrainingData, widths: Mapping[str, int], classes: int, config: FusionConfig
) -> FusionModel:
    """A model before its first step: initialised from the seed, what starts from the labels from the training clips."""
    model = build_fusion(FusionShape(widths, classes), config)
    initialise(model, epoch_generator(config.seed, 0, "initialisation"))
    start_model(model, data.emotion[data.train].numpy(), data.valence[data.train].numpy(), config)
    return model


@dataclass(frozen=True)
class FusionAnswers:
    """What a fusion says of N clips."""

    posteriors: Posteriors
    stream_weights: NDArray[np.float32]
    """(N, M) how much each stream entered the result, in the model's stream order; 0 where missing."""


def predict_fusion(fitted: FittedFusion, features: Mapping[str, StreamTable]) -> Posteriors:
    """Posteriors for the clips of the tables; a stream without a table counts as missing for all of them.

    Raises:
        ConfigError: no tables, tables of different clips, or of other streams or widths than trained on.
    """
    return answer_fusion(fitted, features).posteriors


@torch.no_grad()
def answer_fusion(
    fitted: FittedFusion, features: Mapping[str, StreamTable], model: FusionModel | None = None
) -> FusionAnswers:
    """Posteriors and stream weights, out of one pass.

    Args:
        fitted: the trained fusion.
        features: stream name -> table; a stream without one counts as missing for all clips.
        model: what `fitted.model()` gave, where it is at hand.

    Raises:
        ConfigError: as `predict_fusion`.
    """
    check_aligned(features, clip_ids := clips_of(features))
    streams = stream_batch(read_tables(features, fitted.config), fitted.standardisation, len(clip_ids))
    output = _outputs(model or fitted.model(), streams, len(clip_ids), fitted.config.batch_size)
    posteriors = Posteriors(
        clip_ids=tuple(clip_ids),
        logits=output.emotion_logits.numpy(),
        valence=output.valence.numpy()
        if fitted.predicts_valence
        else np.full(len(clip_ids), np.nan, np.float32),
    )
    return FusionAnswers(posteriors, output.modality_weights.numpy())


def _outputs(model: FusionModel, streams: StreamBatch, count: int, batch_size: int) -> FusionOutput:
    """Outputs of `count` clips: utterance streams in one batch, framewise ones by length."""
    logits, valence = torch.zeros(count, model.shape.classes), torch.zeros(count)
    weights = torch.zeros(count, len(model.streams))
    for rows in batches_for_reading(streams, torch.arange(count), batch_size):
        batch = streams.rows(rows)
        output = model(batch.values, batch.present)
        logits[rows], valence[rows] = output.emotion_logits, output.valence
        weights[rows] = output.modality_weights
    return FusionOutput(logits, valence, weights)


def _check_labels(
    examples: Examples, train: NDArray[np.bool_], validation: NDArray[np.bool_], classes: Sequence[str]
) -> None:
    for name, mask in (("train", train), ("validation", validation)):
        if mask.dtype != np.bool_ or mask.shape != (len(examples),):
            raise ConfigError(
                f"fusion: expected {name} as a mask of {len(examples)} bools, one per clip, found {mask.dtype} {mask.shape}"
            )
    if (train & validation).any():
        raise ConfigError("fusion: expected validation clips apart from training clips, found clips in both")
    labels = examples.emotion[train]
    if labels.size and labels.max() >= len(classes):
        raise ConfigError(f"fusion: expected classes below {len(classes)}, found {labels.max()}")
    if len(np.unique(labels[labels >= 0])) < 2:
        raise ConfigError(
            f"fusion: expected training clips of at least 2 classes, found {len(np.unique(labels[labels >= 0]))} "
            f"among {int((labels >= 0).sum())} labelled clips"
        )


def _identity(
    data: TrainingData,
    config: FusionConfig,
    classes: Sequence[str],
    start: Mapping[str, Tensor] | None = None,
) -> str:
    """Hash of everything the training depends on: a checkpoint is resumed only under the same one."""
    options = config.model_dump(mode="json")
    if config.emotion_loss == "cross_entropy":  # as before there were others: checkpoints of then stay valid
        options = {name: value for name, value in options.items() if name not in ROBUST_LOSS_OPTIONS}
    tensors = {
        **{f"values.{name}": value for name, value in data.streams.values.items()},
        **{f"present.{name}": value for name, value in data.streams.present.items()},
        **{f"frames.{name}": frames.store.values for name, frames in data.streams.frames.items()},
        **{f"offsets.{name}": frames.offsets for name, frames in data.streams.frames.items()},
        "emotion": data.emotion,
        "valence": data.valence,
        "weight": data.weight,
        "train": data.train,
        "validation": data.validation,
        **({} if data.target is None else {"target": data.target}),
        **{f"start.{name}": value for name, value in (start or {}).items()},
    }
    record: dict[str, Any] = {"config": options, "classes": list(classes)}
    if config.valence_decoding == "joint":  # to 0.5 it had further parameters
        record["decoding"] = "class valences"
    return hashlib.sha256((json.dumps(record, sort_keys=True) + content_digest(tensors)).encode()).hexdigest()
