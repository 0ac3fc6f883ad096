"""Adapted blocks for `benchmarks.ravdess.adapted`: which fits are needed, fits side by side, and what they say of each clip.

A fit is known by its options, block, training clips, labels and seed. What it says of all clips is kept (`AdaptedLogits`), so a
run that was cut off goes on, and fits made on a machine with a GPU (`--only fits`) serve a run elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ravdess.streams import SPEEDS
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.ensemble.family import rows_to_learn
from mer.examples import Examples
from mer.posteriors import Posteriors

if TYPE_CHECKING:
    from mer.clips import Clip
    from mer.features.dataset import RaggedTable

TRAINING_SPEEDS = (0.8, 0.9, 1.1, 1.2)
"""Besides 1: variants of every recording to train on; judged on those of `ravdess_streams`."""
SEEDS = (1, 2, 3)

Mask = NDArray[np.bool_]

LORA = AdaptationConfig(
    method="lora",
    rank=12,
    alpha=24.0,
    dropout=0.1,
    head_dropout=0.5,
    epochs=30,
    batch_size=32,
    learning_rate=3e-3,
    mask_weight=0.0,
    mask_probability=0.0,
    time_masks=2,
    time_mask_share=0.3,
    feature_masks=2,
    feature_mask_share=0.1,
    mixup=0.3,
    averaging=0.995,
    max_frames=128,
    patience=0,
)
"""Chosen on folds that were validated on, never tested on, with 40 other settings (docs/experiments.md)."""


def systems(precision: str, *, quick: bool) -> dict[str, AdaptationConfig]:
    """Options of every adapted system; `all_layers` is on all layers, the others on the block."""
    small: dict[str, Any] = {"precision": precision} | ({"epochs": 1, "max_frames": 64} if quick else {})

    def of(**changes: Any) -> AdaptationConfig:
        return AdaptationConfig.model_validate(LORA.model_dump() | small | changes)

    if quick:
        return {"adapted": of(), "bottleneck": of(method="bottleneck", rank=64, learning_rate=1e-3)}
    return {
        "adapted": of(),
        "adapted_masked": of(mask_weight=0.1, mask_probability=0.2),
        "bottleneck": of(method="bottleneck", rank=64, learning_rate=1e-3),
        "dora": of(method="dora"),
        "all_layers": of(rank=16, alpha=32.0),
    }


@dataclass(frozen=True)
class WantedFit:
    """One fit."""

    system: str
    config: AdaptationConfig
    block: Block
    seed: int
    train: Mask
    labels: NDArray[np.int64]
    """(clips,) class of the training clips, -1 elsewhere."""
    classes: int

    @property
    def key(self) -> str:
        """Digest of all that decides the result, but for the machine."""
        text = json.dumps(
            [
                self.config.model_dump(mode="json", exclude={"seed"}),
                [self.block.start, self.block.stop],
                self.seed,
                list(TRAINING_SPEEDS),
            ],
            sort_keys=True,
        )
        known = np.where(self.train, self.labels, -1).astype(np.int16)
        return hashlib.sha256(text.encode() + known.tobytes()).hexdigest()[:24]


@dataclass
class AdaptedLogits:
    """What fits say of all clips, kept in one file a system."""

    folder: Path
    quick: bool
    known: dict[str, dict[str, NDArray[np.float32]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.folder.glob(self._name("*"))):
            with np.load(path) as kept:
                self.known[path.stem.split("-")[-1]] = {
                    key: kept[key].astype(np.float32) for key in kept.files
                }

    def _name(self, system: str) -> str:
        return f"{'quick' if self.quick else 'full'}-{system}.npz"

    def of(self, fit: WantedFit) -> NDArray[np.float32] | None:
        """(clips, classes) mean log-posteriors over the speeds, if the fit was made."""
        return self.known.get(fit.system, {}).get(fit.key)

    def add(self, fits: Sequence[WantedFit], logits: Sequence[NDArray[np.float32]]) -> None:
        """Keep them, at once."""
        own = self.known.setdefault(fits[0].system, {})
        own |= {
            fit.key: said.astype(np.float16).astype(np.float32)
            for fit, said in zip(fits, logits, strict=True)
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / self._name(fits[0].system)
        unfinished = path.with_suffix(".tmp.npz")
        np.savez_compressed(
            unfinished, allow_pickle=False, **{key: said.astype(np.float16) for key, said in own.items()}
        )
        unfinished.replace(path)


def make_fits(
    wanted: Sequence[WantedFit],
    store: AdaptedLogits,
    frames: FrameSource,
    encoder: Any,
    at_once: int,
) -> None:
    """Make the fits that are not there yet, many side by side, and keep what they say.

    Args:
        wanted: any fits; those of one system and block go together.
        store: where they are kept.
        frames: gives the clips' cached states.
        encoder: the layered speech encoder, on the device to train on.
        at_once: fits side by side; 1 is best on a processor.
    """
    from mer.adaptation.finetune import LabelledFrames, adapt
    from mer.adaptation.stack.fits import Split, adapt_stack, stacked_logits
    from mer.training.fit_masks import FitMasks

    groups: dict[tuple[str, int, int, int], list[WantedFit]] = {}
    for fit in wanted:
        if store.of(fit) is None:
            groups.setdefault((fit.system, fit.block.start, fit.block.stop, fit.classes), []).append(fit)
    missing = sum(map(len, groups.values()))
    done, begun = 0, time.perf_counter()
    for (system, start, stop, kinds), members in groups.items():
        plain, *others = frames.tables(start)
        for begin in range(0, len(members), at_once):
            part = members[begin : begin + at_once]
            labels = np.full(len(plain.clip_ids), -1, dtype=np.int64)
            for fit in part:  # one vector for all: fits of one group agree wherever both train
                labels[fit.train] = fit.labels[fit.train]
            block, config = Block(start, stop), part[0].config
            clips = LabelledFrames(plain, labels, kinds, others)
            if len(part) == 1:  # alone, clips of like length are batched and nothing is padded to other fits
                own = config.model_copy(update={"seed": part[0].seed})
                fitted = [adapt(encoder, block, clips, FitMasks.all_training(part[0].train), own)]
            else:
                splits = [Split(fit.train, fit.seed) for fit in part]
                fitted = adapt_stack(encoder, block, clips, splits, config)
            said = np.zeros((len(part), len(plain.clip_ids), kinds))
            for table in frames.judged(start):
                logits = stacked_logits(encoder, block, fitted, config, table)
                said += np.asarray(_log_softmax(logits.astype(np.float64))) / len(SPEEDS)
            store.add(part, list(said.astype(np.float32)))
            done += len(part)
            print(
                f"adaptation: {done} of {missing} fits, {system} on layers {start}-{stop - 1}, "
                f"{time.perf_counter() - begun:.0f} s",
                flush=True,
            )


class FrameSource:
    """Cached states of all clips at all speeds, extracted in one pass when first asked for.

    Args:
        clips: as read.
        starts: hidden states that will be asked for.
        encoder: source of the speech encoder.
        weights: folder of converted weights.
        device: where to extract.
    """

    def __init__(
        self, clips: Sequence[Clip], starts: Collection[int], encoder: str, weights: Path, device: str
    ) -> None:
        self._clips, self._starts = list(clips), tuple(sorted(starts))
        self._encoder, self._weights, self._device = encoder, weights, device
        self._tables: dict[tuple[int, float], RaggedTable] = {}

    def tables(self, start: int) -> list[RaggedTable]:
        """Hidden state `start`: plain, then the other speeds to train on."""
        return [self._of(start, speed) for speed in (1.0, *TRAINING_SPEEDS)]

    def judged(self, start: int) -> list[RaggedTable]:
        """Hidden state `start` at the speeds to judge on."""
        return [self._of(start, speed) for speed in SPEEDS.values()]

    def _of(self, start: int, speed: float) -> RaggedTable:
        if not self._tables:
            self._extract()
        return self._tables[start, speed]

    def _extract(self) -> None:
        from mer.features.dataset import RaggedTable
        from mer.features.extract import build_extractors, extract_clips_of_each
        from mer.features.spec import AudioPreparation, FeatureSpec

        speeds = sorted({1.0, *TRAINING_SPEEDS, *SPEEDS.values()})
        specs = [
            FeatureSpec(
                modality="acoustic",
                source=self._encoder,
                layers=self._starts,
                pooling="frames",
                audio=AudioPreparation(speed=speed),
            )
            for speed in speeds
        ]
        extractor = build_extractors(specs, self._weights, device=self._device)
        parts: list[list[NDArray[np.float16]]] = [[] for _ in specs]
        for begin in range(0, len(self._clips), 120):
            each = extract_clips_of_each(extractor, self._clips[begin : begin + 120])
            for own, features in zip(parts, each, strict=True):
                own.extend(np.asarray(one.values, dtype=np.float16) for one in features)
            done = min(begin + 120, len(self._clips))
            print(f"states {self._starts} at {len(speeds)} speeds: {done} of {len(self._clips)}", flush=True)
        names = tuple(clip.name for clip in self._clips)
        present = np.ones(len(names), dtype=bool)
        for speed, own in zip(speeds, parts, strict=True):
            values = np.concatenate(own)  # (frames, states, width)
            offsets = np.concatenate([[0], np.cumsum([len(one) for one in own])]).astype(np.int64)
            for number, start in enumerate(self._starts):
                state = np.ascontiguousarray(values[:, number])
                self._tables[start, speed] = RaggedTable(names, state, offsets, present)


class AdaptedFamily:
    """Fits that were made beforehand, as a candidate of an ensemble's search: the mean over their seeds.

    Args:
        name: of the candidate.
        said: of each fit the rows it was trained on, ascending, and (N, classes) what it says of all clips.
    """

    def __init__(self, name: str, said: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> None:
        self._name = name
        self._by_training: dict[bytes, list[NDArray[np.float32]]] = {}
        for train, logits in said:
            self._by_training.setdefault(train.tobytes(), []).append(logits)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Family.names`."""
        return (self._name,)

    def predict(
        self, examples: Examples, target_rows: NDArray[np.int64], candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        """See `Family.predict`; nothing is trained here."""
        train = rows_to_learn(examples, target_rows)
        logits = self._by_training.get(train.astype(np.int64).tobytes())
        if logits is None:
            raise KeyError(
                f"{self._name}: expected a fit on exactly these {len(train)} clips, found none; run the fits first"
            )
        mean = np.asarray(np.mean(logits, axis=0, dtype=np.float64))[target_rows]
        return {
            self._name: Posteriors(
                tuple(examples.clip_ids[i] for i in target_rows),
                mean.astype(np.float32),
                np.full(len(target_rows), np.nan, dtype=np.float32),
            )
        }


class Remembered:
    """A family whose predictions are kept: several searches ask it the same."""

    def __init__(self, family: Any) -> None:
        self._family = family
        self._known: dict[tuple[bytes, bytes, str], Posteriors] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """See `Family.names`."""
        return tuple(self._family.names)

    def predict(
        self, examples: Examples, target_rows: NDArray[np.int64], candidates: Collection[str]
    ) -> dict[str, Posteriors]:
        """See `Family.predict`."""
        train, here = examples.emotion.tobytes(), target_rows.tobytes()
        if new := [name for name in candidates if (train, here, name) not in self._known]:
            for name, found in self._family.predict(examples, target_rows, new).items():
                self._known[train, here, name] = found
        return {name: self._known[train, here, name] for name in candidates}


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


class SystemsOfFits:
    """The fits of one outer fold with what they say of the clips of one set of classes.

    Args:
        fits: each with whether it is on all training speakers.
        store: where what they say is kept.
        rows: (N,) row in the store of every clip.
        columns: classes of the fits that can occur; the others are left out and the rest made 1 in sum again.
        partial: go on without fits that were not made.

    Raises:
        KeyError: a fit was not made.
    """

    def __init__(
        self,
        fits: Sequence[tuple[WantedFit, bool]],
        store: AdaptedLogits,
        rows: NDArray[np.int64],
        columns: Sequence[int],
        *,
        partial: bool,
    ) -> None:
        self._fits: list[tuple[WantedFit, bool, NDArray[np.float32]]] = []
        self.missing = 0
        for fit, final in fits:
            said = store.of(fit)
            if said is not None:
                own = _log_softmax(said[rows][:, list(columns)].astype(np.float64)).astype(np.float32)
                self._fits.append((fit, final, own))
            elif partial:
                self.missing += 1
            else:
                raise KeyError(
                    f"{fit.system}, seed {fit.seed}: expected the fit made, found none; run without --only scores, or "
                    "with --partial"
                )
        self._rows = rows

    @property
    def has_inner(self) -> bool:
        """Fits on the inner folds are there."""
        return any(not final for _, final, _ in self._fits)

    def of(self, system: str) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows trained on, ascending, and (N, classes) log-posteriors of every fit of a system."""
        return [
            (np.flatnonzero(fit.train[self._rows]), said)
            for fit, _, said in self._fits
            if fit.system == system
        ]

    def final_posteriors(self, examples: Examples, asked: NDArray[np.int64]) -> dict[str, Posteriors]:
        """Of every system, its seeds averaged; of `adapted` also every seed alone."""
        found: dict[str, list[NDArray[np.float32]]] = {}
        for fit, final, said in self._fits:
            if final:
                found.setdefault(fit.system, []).append(said[asked])
        if "adapted" in found:
            found |= {f"adapted_seed{number}": [one] for number, one in enumerate(found["adapted"], start=1)}
        return {
            name: Posteriors(
                tuple(examples.clip_ids[i] for i in asked),
                np.asarray(np.mean(said, axis=0, dtype=np.float64), dtype=np.float32),
                np.full(len(asked), np.nan, dtype=np.float32),
            )
            for name, said in found.items()
        }
