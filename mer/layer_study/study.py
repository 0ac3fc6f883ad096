"""The layer study: how much emotion every hidden state of an encoder tells, and which block to adapt
(system A, 1).

Known: the contribution of every layer is measured and the most effective layers are adapted.
Reconstruction: an identical linear head (L2-regularised softmax) on every layer's hidden states pooled over time,
speaker-independent folds, several seeds (= fold assignments), all of it trained in one batched pass; the block by the rule of
`mer.layer_study.scores`. Three poolings, with the same head on each: mean and standard deviation; statistics (minimum and
maximum beside these two); attention (a query of its own for every layer and run, `mer.layer_study.attention_pooling`).

Nested use: `study_training_clips` shows the study the training clips of one outer fold only, neither the fold that is scored
nor its validation speakers. The folds of the study lie inside them, so neither the curve nor the choice has seen the clips the
system is scored on; the study is repeated for every outer fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.layer_study.attention_pooling import QueryTraining, learn_queries, pooled_clips
from mer.layer_study.config import LayerStudyConfig
from mer.layer_study.frames import LayerFrames, layer_frames
from mer.layer_study.probes import ProbeTraining, train_stacked_probes
from mer.layer_study.scores import LayerStudy, judge_layers
from mer.layer_study.weighting import weigh_layers
from mer.training.folds import assign_folds
from mer.training.partition import Partition

_FLOAT, _GIB = 4, 2**30
_COPIES = 4
"""Arrays of the features' size that the solver holds at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PooledStates:
    """Source of the pooled hidden states of clips."""

    read: Callable[[Sequence[str]], FeatureTable]
    """Clip ids -> values (clips, L, D)."""


@dataclass(frozen=True)
class FramedStates:
    """Source of the frames of hidden states, one state at a time."""

    count: int
    """Hidden states L."""
    read: Callable[[int, Sequence[str]], RaggedTable]
    """(state, clip ids) -> values (frames, D) or (frames, 1, D)."""


def study_training_clips(
    examples: Examples,
    partition: Partition,
    states: PooledStates | FramedStates,
    config: LayerStudyConfig,
    progress: Progress | None = None,
) -> LayerStudy:
    """The study of one view, on its training clips alone: no other clip's label, speaker or feature is read.

    Args:
        examples: all clips.
        partition: of the view; `train` is what the study may see.
        states: asked for training clips only; clips that lack the stream are left out.
        config: `pooling` must be `attention` for frames.
        progress: called with (steps done, most steps).
    """
    rows = np.flatnonzero(partition.train & (examples.emotion >= 0))
    clip_ids = [examples.clip_ids[row] for row in rows]
    if isinstance(states, PooledStates):
        table = states.read(clip_ids)
        present_rows = rows[table.present]
        return study_layers(
            table.values[table.present],
            examples.emotion[present_rows],
            _speakers(examples, present_rows),
            config,
            progress,
            examples.subset(present_rows).content,
        )
    present_rows = rows[states.read(0, clip_ids).present]
    present = [examples.clip_ids[row] for row in present_rows]

    def read(state: int) -> RaggedTable:
        return states.read(state, present)

    return study_layer_frames(
        states.count,
        read,
        examples.emotion[present_rows],
        _speakers(examples, present_rows),
        config,
        progress,
        examples.subset(present_rows).content,
    )


def study_layers(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: LayerStudyConfig,
    progress: Progress | None = None,
    contents: Sequence[str] = (),
) -> LayerStudy:
    """Score every layer on held-out speakers and choose the block to adapt.

    Args:
        features: (N, L, D) pooled hidden states of the training clips; layer 0 is the convolutional front
            end.
        labels: (N,) class index; clips of -1 are left out.
        speakers: (N,) speaker or None (then folds are by clip).
        config: folds, seeds, penalty, score.
        progress: called with (solver steps done, most steps).
        contents: (N,) content per clip, empty where unknown, or none at all: equal ones are held out together.

    Raises:
        ConfigError: fewer than two hidden states, clips or classes; lengths that differ; features that are not finite.
    """
    if np.ndim(features) != 3:
        raise ConfigError(f"layer study: expected (clips, hidden states, width), found {np.shape(features)}")
    _check_columns(len(features), labels, speakers)
    known = labels >= 0
    values, truth = features[known], labels[known]
    who = [speaker for speaker, keep in zip(speakers, known, strict=True) if keep]
    _require_something_to_tell(features.shape[1], truth)
    equal = [content for content, keep in zip(contents, known, strict=True) if keep] if contents else ()
    held_out = held_out_clips(who, truth, config, equal)
    by_layer = torch.from_numpy(np.ascontiguousarray(values.transpose(1, 0, 2), dtype=np.float32))
    labelled, train = torch.from_numpy(truth), torch.from_numpy(~held_out)
    clips, width = by_layer.shape[1:]
    at_once = _fitting(config, _FLOAT * width * (_COPIES * clips + 2 * width))
    predicted = [
        _predicted(layer_values, labelled, train, config, progress)
        for layer_values in torch.split(by_layer, at_once)
    ]
    return judge_layers(
        torch.cat(predicted).numpy(),
        held_out,
        truth,
        who,
        config,
        _mixture(by_layer, labelled, train, config),
    )


def study_layer_frames(
    count: int,
    read: Callable[[int], RaggedTable],
    labels: NDArray[np.int64],
    speakers: Sequence[str | None],
    config: LayerStudyConfig,
    progress: Progress | None = None,
    contents: Sequence[str] = (),
) -> LayerStudy:
    """The same under attention pooling. As many layers as fit `config.memory_gib` are held and trained together.

    The second view (the learned mixture) is of the frames' means: a query belongs to one layer and run, a mixture to all layers.

    Args:
        count: hidden states L.
        read: hidden state -> frames of all clips, values (F, D) or (F, 1, D).
        labels: (N,) class index, all known.
        speakers: (N,) speaker or None.
        config: as in `study_layers`, and how the queries are learned.
        progress: called with (layers done, L).
        contents: as in `study_layers`.

    Raises:
        ConfigError: as in `study_layers`; a clip without label.
    """
    if (labels < 0).any():
        raise ConfigError("layer study of frames: expected a label for every clip, found clips without")
    _require_something_to_tell(count, labels)
    held_out = held_out_clips(speakers, labels, config, contents)
    truth, train = torch.from_numpy(labels), torch.from_numpy(~held_out)
    predicted, means, done = [], [], 0
    at_once = 1  # until the size of a layer is known
    while done < count:
        group = range(done, min(done + at_once, count))
        frames = _frames([read(state) for state in group], config)
        predicted.append(_predicted_by_attention(frames, truth, train, config))
        means.append(frames.means())
        done += len(group)
        runs, width = len(train), frames.values.shape[2]
        batch = _COPIES * config.attention_batch_size * config.attention_frames
        held = 2 * frames.values[0].numel() + _FLOAT * width * (runs * frames.clips + batch)
        at_once = _fitting(config, held)
        if progress is not None:
            progress(done, count)
    return judge_layers(
        torch.cat(predicted).numpy(),
        held_out,
        labels,
        speakers,
        config,
        _mixture(torch.cat(means), truth, train, config),
    )


def held_out_clips(
    speakers: Sequence[str | None],
    truth: NDArray[np.int64],
    config: LayerStudyConfig,
    contents: Sequence[str] = (),
) -> NDArray[np.bool_]:
    """(R, N) the clips of every fold of every seed, seeds in the outer order."""
    names = [str(row) for row in range(len(truth))]
    folds = [
        assign_folds(speakers, names, truth, config.folds, config.seed + run, contents)
        for run in range(config.seeds)
    ]
    return np.concatenate([[run == fold for fold in range(run.max() + 1)] for run in folds])


def _check_columns(clips: int, labels: NDArray[np.int64], speakers: Sequence[str | None]) -> None:
    if not clips == len(labels) == len(speakers):
        raise ConfigError(
            f"layer study: expected a label and a speaker for each of {clips} clips, found {len(labels)} labels and "
            f"{len(speakers)} speakers"
        )
    if np.asarray(labels).dtype.kind not in "iu":
        raise ConfigError(
            f"layer study: expected class indices (whole numbers), found {np.asarray(labels).dtype}; for names of classes "
            "there is mer.study_layers"
        )


def _predicted(
    features: Tensor, truth: Tensor, train: Tensor, config: LayerStudyConfig, progress: Progress | None
) -> Tensor:
    """(L, R, N) classes predicted from features (L, N, D); `train` is (R, N), or (L, R, N) where layers differ in it."""
    probes = train_stacked_probes(
        features,
        truth,
        train,
        int(truth.max()) + 1,
        ProbeTraining(config.l2, config.iterations, config.tolerance),
        progress,
    )
    return probes.logits.argmax(dim=-1)


def _predicted_by_attention(
    frames: LayerFrames, truth: Tensor, train: Tensor, config: LayerStudyConfig
) -> Tensor:
    """(L, R, N): learn the queries, pool every clip under each, and put the common head on each query's vectors."""
    how = QueryTraining(
        l2=config.l2,
        steps=config.attention_steps,
        batch_size=config.attention_batch_size,
        learning_rate=config.attention_learning_rate,
        seed=config.seed,
    )
    queries = learn_queries(frames, truth, train, int(truth.max()) + 1, how)
    layers, runs, width = queries.shape
    at_once = _fitting(config, _FLOAT * width * (_COPIES * frames.clips + 2 * width))
    predicted = torch.empty(layers * runs, frames.clips, dtype=torch.int64)
    run_clips = train.repeat(layers, 1)[:, None]  # (L * R, 1, N): one run's clips for one run's vectors
    vectors = pooled_clips(frames, queries).flatten(0, 1)
    for chunk in torch.split(torch.arange(layers * runs), at_once):
        predicted[chunk] = _predicted(vectors[chunk], truth, run_clips[chunk], config, None)[:, 0]
    return predicted.view(layers, runs, -1)


def _mixture(by_layer: Tensor, truth: Tensor, train: Tensor, config: LayerStudyConfig) -> NDArray[np.float64]:
    """(R, L) shares of the layers in a head that may mix all; runs that do not fit together are learned in turns."""
    _, clips, width = by_layer.shape
    shares = [
        weigh_layers(
            by_layer, truth, run_clips, int(truth.max()) + 1, l2=config.l2, steps=config.weighting_steps
        ).weights
        for run_clips in torch.split(train, _fitting(config, _FLOAT * _COPIES * clips * width))
    ]
    return torch.cat(shares).numpy().astype(np.float64)


def _frames(tables: Sequence[RaggedTable], config: LayerStudyConfig) -> LayerFrames:
    values = [table.values.reshape(len(table.values), -1) for table in tables]
    return layer_frames(values, tables[0].offsets, config.attention_frames)


def _fitting(config: LayerStudyConfig, bytes_of_one: int) -> int:
    """Number of items of this size that fit the memory of the study, at least one."""
    return max(1, int(config.memory_gib * _GIB) // bytes_of_one)


def _require_something_to_tell(states: int, truth: NDArray[np.int64]) -> None:
    if states < 2 or len(np.unique(truth)) < 2:
        raise ConfigError(
            f"layer study: expected at least 2 hidden states and clips of at least 2 classes, found {states} hidden states "
            f"and {len(np.unique(truth))} classes among {len(truth)} labelled clips"
        )


def _speakers(examples: Examples, rows: NDArray[np.int64]) -> list[str | None]:
    return [examples.speaker[row] for row in rows]
