"""Study of an alignment on unseen speakers: retrieval, geometry, controls on shuffled pairs, probes with many, few and no labels.

Known (system A, 3): retrieval at 1, 5 and 10 both ways, visual-only score before and after, a shuffled-pairs
control that must show no gain. Reconstruction: how that is made a test. Two controls are fitted with the same
options as the alignment. Pairs shuffled over all clips leave nothing to learn: their retrieval must be at chance,
over all clips and within speakers. Pairs shuffled within speakers leave only who speaks: within speakers their
retrieval must be at chance, and over all clips it shows how far the speaker alone leads. Each is fitted with
several seeds, so that chance is compared with an interval. The true pairing is also held against permuted
pairings of the same held-out embeddings. Several ranks and galleries are compared with chance at once: at 95 %
one verdict in twenty is wrong, so a single `above chance` beside many `at chance` is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.alignment.aligned_model import Alignment, aligned_features, raw_vectors
from mer.alignment.config import AlignmentConfig, AlignmentStudyConfig
from mer.alignment.fit import anchor_targets
from mer.alignment.geometry import geometry_figures
from mer.alignment.groups import UNKNOWN
from mer.alignment.paired_clips import PairedClips
from mer.alignment.pretrain import pretrain_alignment
from mer.alignment.probing import probed
from mer.alignment.retrieval import Retrieval, recall_figures, retrieved
from mer.alignment.transfer import LabelledClips, few_labelled, zero_shot
from mer.alignment.trunk import TrainedEncoder
from mer.training.seeding import derive_seed

CONTROLS = ("all", "speaker")
SYSTEMS = ("raw", "aligned", "raw_aligned")
"""Inputs of the linear probes: the vectors before the alignment, the aligned embeddings, and both side by side."""
WITHIN = "within_speaker_"

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class StudiedClips:
    """The clips of one view; row i is clip i everywhere."""

    pairs: PairedClips
    """Both streams' values; clips the alignment learns from, and those its epoch is chosen on."""
    emotion: NDArray[np.int64]
    """(clips,) class, -1 unlabelled; read by the probes alone."""
    scored: NDArray[np.bool_]
    """Clips of held-out speakers, which it never sees."""
    encoder: TrainedEncoder | None = None
    """Of crops."""
    device: str = "cpu"
    """Device on which the fits run."""


@dataclass(frozen=True)
class ViewStudy:
    """One view measured; JSON values only."""

    view: str
    speaker: list[str | None]
    """Speaker of every scored clip."""
    hits: list[list[float]]
    """(scored clips, ranks) recall over all scored clips, mean of both ways."""
    within_hits: list[list[float]]
    """(queries, ranks) the same among the clips of the query's speaker; empty where speakers are unknown."""
    within_speaker: list[str | None]
    """Speaker of every such query."""
    permuted: list[list[float]]
    """(permutations, ranks) recall over all scored clips under permuted pairings."""
    within_permuted: list[list[float]]
    """(permutations, ranks) within speakers."""
    figures: dict[str, float]
    """Recall by direction, chance, alignment and uniformity."""
    controls: dict[str, list[dict[str, float]]]
    """Such figures of every fit on shuffled pairs, by the kind of shuffling."""
    probe: dict[str, list[float]]
    """System (`raw`, `aligned`, `raw_aligned`) -> (labelled scored clips,) 1 where a linear probe is right."""
    probe_speaker: list[str | None]
    """Speaker of every such clip."""
    zero_shot: list[float] = field(default_factory=list)
    """(labelled scored clips,) 1 where a classifier of the anchor, asked about the trained side, is right."""
    few: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Number of labelled speakers -> `raw`, `aligned` -> (labelled scored clips,) share of drawings in which a probe is right."""
    classes: int = 0
    """Classes among the labelled clips."""

    def to_json(self) -> dict[str, Any]:
        """The study as JSON values."""
        return asdict(self)


Progress = Callable[[str], None]


def study_view(
    view: str,
    clips: StudiedClips,
    alignment: Alignment,
    config: AlignmentStudyConfig,
    progress: Progress | None = None,
) -> ViewStudy:
    """Measure an alignment on the scored clips, and fit its controls.

    Args:
        view: name of the view. clips: what the alignment was fitted on, and what it is scored on. alignment:
        the fit on true pairs. config: options. progress: told of every control that was fitted.
    """
    seed = derive_seed(config.seed, view) % 2**32
    rows = np.flatnonzero(clips.scored)
    if len(rows) > config.gallery:
        rows = np.sort(np.random.default_rng(seed).choice(rows, config.gallery, replace=False))
    over_all, within, figures = _measured(clips, alignment, rows, config.permutations, seed)
    names = [clips.pairs.known_groups.speaker[row] for row in rows.tolist()]
    systems, labelled = _probes(clips, alignment) if config.probe else ({}, [])
    transfer = _Transfer(clips, alignment, config, seed) if systems else None
    aligned = (
        aligned_features(alignment, clips.pairs.trained_values) if systems else np.zeros((0, 0), np.float32)
    )
    return ViewStudy(
        view=view,
        speaker=names,
        hits=_rounded((over_all.trained_to_anchor + over_all.anchor_to_trained) / 2),
        within_hits=_rounded((within.trained_to_anchor + within.anchor_to_trained) / 2),
        within_speaker=[names[row] for row in within.rows.tolist()],
        permuted=_rounded(over_all.permuted),
        within_permuted=_rounded(within.permuted),
        figures=figures,
        controls=_controls(clips, alignment.config, rows, config, transfer, progress)
        if config.control
        else {},
        probe={name: right.astype(float).tolist() for name, right in systems.items()},
        probe_speaker=[clips.pairs.known_groups.speaker[row] for row in labelled],
        zero_shot=[] if transfer is None else transfer.zero_shot(alignment, aligned).astype(float).tolist(),
        few={} if transfer is None else transfer.few(aligned, config.few_speakers),
        classes=0 if transfer is None else transfer.labels.classes,
    )


class _Transfer:
    """Probes with few and no labels of one view's fits; the vectors before the alignment are those of all of them."""

    def __init__(
        self, clips: StudiedClips, alignment: Alignment, config: AlignmentStudyConfig, seed: int
    ) -> None:
        self.clips, self.config, self.seed = clips, config, seed
        self.raw = raw_vectors(alignment, clips.pairs.trained_values)
        self.labels = LabelledClips(
            emotion=clips.emotion,
            speaker=clips.pairs.known_groups.speaker,
            known=np.flatnonzero(clips.pairs.train | clips.pairs.validation),
            scored=np.flatnonzero(clips.scored & (clips.emotion >= 0)),
        )

    def zero_shot(self, alignment: Alignment, aligned: Vectors) -> NDArray[np.bool_]:
        """See `mer.alignment.transfer.zero_shot`."""
        pairs = self.clips.pairs
        targets = anchor_targets(pairs.anchor_values, pairs.known_groups, alignment.config)
        return zero_shot(anchor_embeddings(alignment, targets), aligned, self.labels)

    def few(self, aligned: Vectors, counts: Sequence[int]) -> dict[str, dict[str, list[float]]]:
        """By number of speakers, then raw and aligned; numbers that there are not enough speakers for are left out."""
        values, found = {"raw": self.raw, "aligned": aligned}, {}
        for count in counts:
            seed = derive_seed(self.seed, count) % 2**32
            if systems := few_labelled(values, self.labels, count, self.config.few_draws, seed):
                found[str(count)] = {name: np.round(own, 6).tolist() for name, own in systems.items()}
        return found

    def of_control(self, control: Alignment) -> dict[str, float]:
        """Figures of a fit on shuffled pairs: its zero-shot score, and what it gains with the fewest labelled speakers."""
        aligned = aligned_features(control, self.clips.pairs.trained_values)
        figures = {"zero_shot": float(self.zero_shot(control, aligned).mean())}
        for count, systems in self.few(aligned, self.config.few_speakers[:1]).items():
            figures[f"few_{count}_gain"] = float(np.mean(systems["aligned"]) - np.mean(systems["raw"]))
        return figures


def _measured(
    clips: StudiedClips, alignment: Alignment, rows: NDArray[np.int64], permutations: int, seed: int
) -> tuple[Retrieval, Retrieval, dict[str, float]]:
    """Retrieval of these clips over all and within speakers, and both as figures with the geometry."""
    trained = aligned_features(alignment, clips.pairs.trained_values[rows])
    targets = anchor_targets(clips.pairs.anchor_values, clips.pairs.known_groups, alignment.config)[rows]
    anchor = anchor_embeddings(alignment, targets)
    speaker = clips.pairs.known_groups.codes("speaker")[rows]
    over_all = retrieved(trained, anchor, permutations, seed)
    within = retrieved(trained, anchor, permutations, seed, within=speaker)
    figures = {"retrieval_clips": float(len(rows)), "within_speaker_clips": float(len(within.rows))}
    figures |= (
        recall_figures(over_all, "") | recall_figures(within, WITHIN) | geometry_figures(trained, anchor)
    )
    return over_all, within, figures


def anchor_embeddings(alignment: Alignment, targets: Vectors) -> Vectors:
    """Targets of the anchor (clips, features) as the fit took them -> (clips, embedding_size) of unit length."""
    import torch

    with torch.inference_mode():
        anchor: Vectors = (
            alignment.build().embed_anchor(torch.from_numpy(np.ascontiguousarray(targets))).numpy()
        )
    return anchor


def _controls(
    clips: StudiedClips,
    config: AlignmentConfig,
    rows: NDArray[np.int64],
    study: AlignmentStudyConfig,
    transfer: _Transfer | None,
    progress: Progress | None,
) -> dict[str, list[dict[str, float]]]:
    """Figures of fits on shuffled pairs, by kind; within speakers only where at least two are known to train on."""
    known = np.unique(clips.pairs.known_groups.codes("speaker")[clips.pairs.train])
    kinds = CONTROLS if (known != UNKNOWN).sum() > 1 else CONTROLS[:1]
    controls: dict[str, list[dict[str, float]]] = {}
    for kind in kinds:
        for number in range(study.control_seeds):
            shuffled = AlignmentConfig.model_validate(
                {
                    **config.model_dump(),
                    "shuffle_pairs": kind,
                    "seed": derive_seed(config.seed, "control", number) % 2**32,
                }
            )
            control = fitted(clips, shuffled)
            figures = _measured(clips, control, rows, 0, 0)[2]
            if transfer is not None:
                right = _probes(clips, control, ("aligned",))[0]
                figures["probe_aligned"] = float(right["aligned"].mean())
                figures |= transfer.of_control(control)
            controls.setdefault(kind, []).append(figures)
            if progress is not None:
                progress(f"control {kind}, fit {number + 1} of {study.control_seeds}")
    return controls


def fitted(clips: StudiedClips, config: AlignmentConfig) -> Alignment:
    """An alignment of these clips; the scored ones take no part."""
    return pretrain_alignment(clips.pairs, config, clips.encoder, device=clips.device)


def _probes(
    clips: StudiedClips, alignment: Alignment, systems: Sequence[str] = SYSTEMS
) -> tuple[Mapping[str, NDArray[np.bool_]], list[int]]:
    """Which labelled scored clips each linear probe gets right, and which clips those are."""
    labelled = clips.emotion >= 0
    train, validation, scored = (
        np.flatnonzero(mask & labelled) for mask in (clips.pairs.train, clips.pairs.validation, clips.scored)
    )
    if not len(scored) or len(set(clips.emotion[train].tolist())) < 2:
        return {}, []
    aligned = aligned_features(alignment, clips.pairs.trained_values)
    values = {"aligned": aligned}
    if set(systems) - {"aligned"}:
        raw = raw_vectors(alignment, clips.pairs.trained_values)
        values |= {"raw": raw, "raw_aligned": np.concatenate([raw, aligned], axis=1)}
    right = {
        name: probed(values[name], clips.emotion, train, validation, scored) == clips.emotion[scored]
        for name in systems
    }
    return right, scored.tolist()


def _rounded(values: NDArray[np.floating[Any]]) -> list[list[float]]:
    rounded: list[list[float]] = np.round(values, 6).tolist()
    return rounded
