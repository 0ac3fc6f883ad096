"""Alignment pre-training of a stream into another one's space of the same view, and the aligned features it gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from infra.artifacts import ArtifactRef
from mer.alignment.config import AlignmentConfig
from tasks.data.arithmetic import read_in
from tasks.data.dataset import clip_ids_of, load_view
from tasks.data.features import content_digest, content_ids, cut, representatives
from tasks.data.shard_commit import commit_shard
from tasks.data.streams import alignable_key, alignable_table
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.part_progress import told_as
from tasks.stage.references import DatasetRef, FeatureSetRef, StreamInput, StreamPair, View
from tasks.stage.run import Produced, StageResult, StageRun, digest, find_stage, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.alignment.groups import ClipGroups
    from mer.alignment.pretrain import Alignment
    from mer.examples import Examples
    from mer.features.extract import ClipFeature
    from mer.training.partition import Partition


@task(name="align", task_run_name="align {pair.trained.name} {view.name}", tags=["gpu"])
def align_view(view: View, pair: StreamPair, earlier: View | None = None) -> StageResult:
    """InfoNCE of the view's training and unlabelled clips (labels unused); retrieval is measured on validation speakers.

    Args:
        view: whose clips are learnt from.
        pair: the stream that is trained, and its anchor.
        earlier: the same view of an earlier snapshot, whose alignment is taken as it is where there is one for just these
            options, streams and code, and where it learnt from no clip that this view holds out; None: fit.
    """
    if earlier is not None and learnt_nothing_held_out(earlier, view):
        stays = _aligned(earlier, pair, fit=False)
        if stays is not None:
            return stays
    fitted = _aligned(view, pair, fit=True)
    assert fitted is not None
    return fitted


def learnt_nothing_held_out(earlier: View, view: View) -> bool:
    """Whether every clip that an alignment of the earlier view saw may be seen by the same stage of this view."""
    (before, was), (now, partition) = (load_view(workspace(), one) for one in (earlier, view))
    allowed = {now.clip_ids[row] for row in np.flatnonzero(partition.unsupervised | partition.validation)}
    seen = np.flatnonzero(was.unsupervised | was.validation)
    return all(before.clip_ids[row] in allowed for row in seen)


def _aligned(view: View, pair: StreamPair, *, fit: bool) -> StageResult | None:
    """The alignment of a view; where it is not to be fitted the one there is, or None."""
    config, encoder = alignment_of(pair.trained), pair.trained.stream.trained_encoder
    examples, partition = load_view(workspace(), view)
    groups = clip_groups(workspace(), view.dataset, config, examples)

    def produce(run: StageRun) -> Produced:
        from mer.alignment.pretrain import PairedClips, TrainedEncoder, pretrain_alignment, save_alignment
        from mer.training.resumable import Resumable

        keep = np.flatnonzero(partition.unsupervised | partition.validation)
        clip_ids = [examples.clip_ids[i] for i in keep]
        trained = alignable_table(run.space, pair.trained, clip_ids)
        anchor = alignable_table(run.space, pair.anchor, clip_ids)
        both = trained.present & anchor.present
        clips = PairedClips(
            trained_values=trained.values[both],
            anchor_values=anchor.values[both],
            train=partition.unsupervised[keep][both],
            validation=partition.validation[keep][both],
            groups=groups.subset(keep[both]),
        )
        alignment = pretrain_alignment(
            clips,
            config,
            TrainedEncoder(encoder, run.space.weights) if encoder else None,
            Resumable(run.checkpoint, told_as(view.name)),
            device=fit_device(trained.values),
        )
        folder = run.folder / "alignment"
        save_alignment(folder, alignment)
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={name: round(float(value), 6) for name, value in alignment.retrieval.items()},
            metrics=alignment.retrieval,
            history=alignment.history,
        )

    inputs = alignment_inputs(workspace(), pair, examples, partition, groups)
    options = {"alignment": config.model_dump(mode="json"), "encoder": encoder}
    chosen = alignment_implementations(workspace(), pair.trained)
    if not fit:
        return find_stage("alignment", inputs=inputs, config=options, produce=produce, implementations=chosen)
    return run_stage(
        "alignment",
        inputs=inputs,
        config=options,
        produce=produce,
        implementations=chosen,
        label=f"align {pair.trained.name} {view.name}",
        parent_run=view.parent_run,
    )


def alignment_of(item: StreamInput) -> AlignmentConfig:
    """Options of a stream's alignment; ValueError without."""
    if item.stream.alignment is None:
        raise ValueError(f"stream {item.name} has no alignment")
    return item.stream.alignment.training


def fit_device(values: NDArray[Any]) -> str:
    """Device to train on: for crops an accelerator if there is one; fits on vectors are too small to gain by it."""
    from mer.encoders.placement import choose_placement

    return choose_placement().device if values.dtype == np.uint8 else "cpu"


def alignment_implementations(space: Workspace, trained: StreamInput) -> tuple[str, ...]:
    """The encoder that an alignment trains or goes through, if it reads face crops."""
    from mer.encoders.families import encoder_implementations
    from mer.encoders.weights import resolve_weights

    encoder = trained.stream.trained_encoder
    if encoder is None:
        return ()
    return encoder_implementations(trained.stream.modality, resolve_weights(encoder, space.weights))


def alignment_inputs(
    space: Workspace, pair: StreamPair, examples: Examples, partition: Partition, groups: ClipGroups
) -> dict[str, str | None]:
    """Everything besides options and code that an alignment depends on."""
    from mer.encoders.weights import resolve_weights

    rows = np.flatnonzero(partition.unsupervised | partition.validation)
    clip_ids = [examples.clip_ids[i] for i in rows]
    view_groups = groups.subset(rows)
    encoder = pair.trained.stream.trained_encoder
    return {
        "view": partition.digest(examples, unlabelled=True),
        "trained": alignable_key(pair.trained),
        "anchor": alignable_key(pair.anchor),
        "contents": content_digest(pair.trained.features, clip_ids),
        "anchor contents": content_digest(pair.anchor.features, clip_ids),
        "groups": digest([view_groups.speaker, view_groups.source]),
        "encoder": resolve_weights(encoder, space.weights).identity if encoder else None,
    }


def clip_groups(
    space: Workspace, dataset: DatasetRef, config: AlignmentConfig, examples: Examples
) -> ClipGroups:
    """Speaker of every clip, and where the options ask for sources the folder its media lies in.

    A corpus that keeps all clips in one folder, or each in one of its own, tells no sources: they are unknown.
    """
    from mer.alignment.groups import ClipGroups

    if "source" not in (config.hard_negatives, config.standardise_anchor):
        return ClipGroups.of_speakers(examples.speaker)
    folder_of = {row.name: str(row.path.parent) for row in space.catalogue.clips(dataset.corpus)}
    folders = [folder_of.get(name) for name in examples.clip_ids]
    telling = 1 < len(set(folders)) < len(folders)
    return ClipGroups(examples.speaker, tuple(folders) if telling else (None,) * len(folders))


@task(name="embed aligned", task_run_name="embed aligned {trained.name} {view.name}", tags=["gpu"])
def embed_aligned(
    view: View, trained: StreamInput, alignment: ArtifactRef, shard_clips: int
) -> FeatureSetRef:
    """Aligned features of all clips that lack them, shard by shard; keyed by the alignment."""
    space = workspace()
    code = code_version(open_alignment, _embed, implementations=alignment_implementations(space, trained))
    aligned = FeatureSetRef(
        stream=trained.name,
        key=digest({"alignment": alignment.sha256, "trained": alignable_key(trained), "code": code}),
        spec=None,
        derived_from=trained.features,
    )
    missing = representatives(space, aligned, clip_ids_of(view.dataset))
    if missing:
        with computing(space.settings):
            model = open_alignment(space, alignment)
        for shard in cut(missing, shard_clips):
            contents = list(content_ids(space, aligned, shard).values())
            facts = partial(_facts, space, trained, shard)
            commit_shard(
                space, aligned.key, contents, partial(_embed, space, model, trained, shard), code, facts
            )
    return aligned


def open_alignment(space: Workspace, alignment: ArtifactRef) -> Alignment:
    """The trained alignment."""
    from mer.alignment.pretrain import load_alignment

    return load_alignment(space.artifacts.fetch(alignment), space.weights)


def _embed(
    space: Workspace, model: Alignment, trained: StreamInput, clip_ids: Sequence[str]
) -> list[ClipFeature]:
    from mer.alignment.pretrain import aligned_table
    from mer.features.dataset import table_rows

    return table_rows(aligned_table(model, alignable_table(space, trained, clip_ids)))


def _facts(space: Workspace, trained: StreamInput, clip_ids: Sequence[str]) -> dict[str, str]:
    """What a shard of aligned features is computed in (projectors run in fp32), and what the vectors it reads were."""
    from mer.encoders.placement import ON_CPU, computed_in

    return {**computed_in(ON_CPU), "read": read_in(space, (trained.alignable,), clip_ids)}
