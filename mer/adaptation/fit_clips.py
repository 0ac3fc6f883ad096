"""Which clips a fit trains on and chooses by, and which variant of each an epoch shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mer.adaptation.padded_batches import FrameStore
from mer.errors import ConfigError
from mer.training.fit_masks import FitMasks

if TYPE_CHECKING:
    from mer.features.dataset import RaggedTable


@dataclass(frozen=True)
class LabelledFrames:
    """Cached frames of clips with their labels: what an adaptation reads."""

    frames: RaggedTable
    """Hidden state `block.start` of every clip, (sum of frames, width)."""
    labels: NDArray[np.int64]
    """(clips,) class index; -1 = unlabelled, never trained on."""
    class_count: int
    """Number of classes."""
    variants: Sequence[RaggedTable] = ()
    """The same state of the same clips out of augmented waveforms, any number of tables like `frames`."""


@dataclass(frozen=True)
class FitClips:
    """Frames, labels and rows of a fit; row `v * clips + i` is clip i as variant v (0: plain)."""

    store: FrameStore
    labels: NDArray[np.int64]
    """(rows,) class of every row of the store; -1 = unlabelled."""
    choices: NDArray[np.int64]
    """(1 + variants, training clips) row of each training clip as each variant; the plain one where it has none."""
    validation: NDArray[np.int64]
    """(clips to choose by,) rows, always plain."""

    @classmethod
    def of(cls, labelled: LabelledFrames, masks: FitMasks, device: torch.device) -> FitClips:
        """Put all frames on the device, once.

        Raises:
            ConfigError: masks, labels or variants do not agree with the clips.
        """
        frames, variants = labelled.frames, labelled.variants
        clips = len(frames.clip_ids)
        for number, variant in enumerate(variants, start=1):
            if tuple(variant.clip_ids) != tuple(frames.clip_ids):
                raise ConfigError(
                    f"adaptation: variant {number} is not of the same clips in the same order as the plain frames"
                )
            if variant.values.shape[1:] != frames.values.shape[1:]:
                raise ConfigError(
                    f"adaptation: expected frames of shape {frames.values.shape[1:]}, found "
                    f"{variant.values.shape[1:]} in variant {number}"
                )
        labels = np.asarray(labelled.labels, dtype=np.int64)
        if len(labels) != clips:
            raise ConfigError(f"adaptation cannot start: {len(labels)} labels for {clips} clips")
        usable = np.asarray(frames.present, dtype=bool) & (labels >= 0)
        rows = _rows(masks.train, usable, "train")
        present = [np.asarray(variant.present, dtype=bool)[rows] for variant in variants]
        choices = [rows] + [np.where(has, rows + clips * v, rows) for v, has in enumerate(present, start=1)]
        return cls(
            store=FrameStore.of(frames, *variants, device=device),
            labels=np.tile(labels, 1 + len(variants)),
            choices=np.stack(choices),
            validation=_rows(masks.validation, usable, "validation"),
        )

    @property
    def train(self) -> NDArray[np.int64]:
        """(training clips,) their plain rows."""
        plain: NDArray[np.int64] = self.choices[0]
        return plain

    @property
    def shown(self) -> NDArray[np.int64]:
        """Every row that any epoch may train on, each once."""
        return np.unique(self.choices)

    def rows_of_epoch(self, generator: torch.Generator, *, every: bool) -> NDArray[np.int64]:
        """Rows of one epoch: one variant of each training clip drawn with equal chances, or every one."""
        if every:
            return self.shown
        if len(self.choices) == 1:
            return self.train
        drawn = torch.randint(len(self.choices), (self.choices.shape[1],), generator=generator).numpy()
        rows: NDArray[np.int64] = self.choices[drawn, np.arange(self.choices.shape[1])]
        return rows

    def check(self, width: int, class_count: int) -> None:
        """Raise ConfigError, naming every problem, unless a fit can start."""
        problems = []
        if self.store.width != width:
            problems.append(f"frames are {self.store.width} wide, the encoder {width}")
        if np.intersect1d(self.train, self.validation).size:
            problems.append("clips are in both `train` and `validation`")
        if self.labels.size and self.labels.max() >= class_count:
            problems.append(f"label {self.labels.max()} with {class_count} classes")
        if len(np.unique(self.labels[self.train])) < 2:
            problems.append("training clips with label and sound are of fewer than two classes")
        if problems:
            raise ConfigError(f"adaptation cannot start: {'; '.join(problems)}")


def _rows(mask: NDArray[np.bool_], usable: NDArray[np.bool_], name: str) -> NDArray[np.int64]:
    if mask.shape != usable.shape:
        raise ConfigError(f"adaptation: expected mask `{name}` of shape {usable.shape}, found {mask.shape}")
    return np.flatnonzero(mask & usable)
