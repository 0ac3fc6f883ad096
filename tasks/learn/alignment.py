"""Alignment pre-training of the visual stream into one view's acoustic space, and the aligned features it gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from prefect import task

from infra.artifacts import ArtifactRef
from mer.alignment.config import AlignmentConfig
from mer.recipes import Recipe
from tasks.data.arithmetic import read_in
from tasks.data.dataset import load_view
from tasks.data.features import commit_shard, content_digest, content_ids, cut, feature_table, representatives
from tasks.data.streams import acoustic_space
from tasks.stage.code_version import code_version
from tasks.stage.compute import computing
from tasks.stage.references import DatasetRef, FeatureSetRef, ViewSpaces
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.alignment.groups import ClipGroups
    from mer.alignment.pretrain import Alignment
    from mer.examples import Examples
    from mer.features.extract import ClipFeature
    from mer.training.partition import Partition


@task(name="align", task_run_name="align {view}", tags=["gpu"])
def align_view(
    dataset: DatasetRef,
    recipe: Recipe,
    acoustic: FeatureSetRef,
    visual: FeatureSetRef,
    spaces: ViewSpaces,
    view: str,
    parent_run: str | None,
) -> StageResult:
    """InfoNCE of the view's training and unlabelled clips (labels unused); retrieval is measured on validation speakers."""
    config = recipe.visual.alignment if recipe.visual else None
    if config is None:
        raise ValueError(f"recipe {recipe.name} has no visual alignment")
    examples, partition = load_view(workspace(), dataset, recipe, view)
    groups = clip_groups(workspace(), dataset, config, examples)

    def produce(run: StageRun) -> Produced:
        from mer.alignment.pretrain import pretrain_alignment, save_alignment

        keep = np.flatnonzero(partition.unsupervised | partition.validation)
        clip_ids = [examples.clip_ids[i] for i in keep]
        seen = feature_table(run.space, visual, clip_ids)
        heard = acoustic_space(run.space, acoustic, spaces, clip_ids)
        both = seen.present & heard.present
        alignment = pretrain_alignment(
            seen.values[both],
            heard.values[both],
            partition.unsupervised[keep][both],
            partition.validation[keep][both],
            config,
            source=recipe.visual.encoder if recipe.visual else None,
            checkpoint=run.checkpoint,
            groups=groups.subset(keep[both]),
            weights=run.space.weights,
            device=fit_device(seen.values),
        )
        folder = run.folder / "alignment"
        save_alignment(folder, alignment)
        return Produced(
            files={path.name: path for path in sorted(folder.iterdir())},
            meta={name: round(float(value), 6) for name, value in alignment.retrieval.items()},
            metrics=alignment.retrieval,
            history=alignment.history,
        )

    return run_stage(
        "alignment",
        inputs=alignment_inputs(workspace(), recipe, acoustic, visual, spaces, examples, partition, groups),
        config={
            "alignment": config.model_dump(mode="json"),
            "encoder": recipe.visual.encoder if recipe.visual else None,
        },
        produce=produce,
        implementations=alignment_implementations(workspace(), recipe),
        label=f"align {view}",
        parent_run=parent_run,
    )


def fit_device(visual: NDArray[Any]) -> str:
    """Device to train on: for crops an accelerator if there is one; fits on vectors are too small to gain by it."""
    from mer.encoders.placement import choose_placement

    return choose_placement().device if visual.dtype == np.uint8 else "cpu"


def alignment_implementations(space: Workspace, recipe: Recipe) -> tuple[str, ...]:
    """The visual encoder that an alignment trains or goes through, if it reads face crops."""
    from mer.encoders.families import encoder_implementations
    from mer.encoders.weights import resolve_weights

    encoder = recipe.visual.encoder if recipe.visual else None
    return encoder_implementations("visual", resolve_weights(encoder, space.weights)) if encoder else ()


def alignment_inputs(
    space: Workspace,
    recipe: Recipe,
    acoustic: FeatureSetRef,
    visual: FeatureSetRef,
    spaces: ViewSpaces,
    examples: Examples,
    partition: Partition,
    groups: ClipGroups,
) -> dict[str, str | None]:
    """Everything besides options and code that an alignment depends on."""
    from mer.encoders.weights import resolve_weights

    rows = np.flatnonzero(partition.unsupervised | partition.validation)
    view_groups = groups.subset(rows)
    encoder = recipe.visual.encoder if recipe.visual else None
    return {
        "view": partition.digest(examples, unlabelled=True),
        "acoustic": spaces.adapted.key if spaces.adapted else f"{acoustic.key}/{spaces.read_layer}",
        "visual": visual.key,
        "contents": content_digest(visual, [examples.clip_ids[i] for i in rows]),
        "acoustic contents": content_digest(acoustic, [examples.clip_ids[i] for i in rows]),
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

    if "source" not in (config.hard_negatives, config.standardise_acoustic):
        return ClipGroups.of_speakers(examples.speaker)
    folder_of = {row.name: str(row.path.parent) for row in space.catalogue.clips(dataset.corpus)}
    folders = [folder_of.get(name) for name in examples.clip_ids]
    telling = 1 < len(set(folders)) < len(folders)
    return ClipGroups(examples.speaker, tuple(folders) if telling else (None,) * len(folders))


@task(name="embed visual", task_run_name="embed visual {view}", tags=["gpu"])
def embed_visual(
    recipe: Recipe, visual: FeatureSetRef, alignment: ArtifactRef, view: str, clip_ids: Sequence[str]
) -> FeatureSetRef:
    """Aligned features of all clips that lack them, shard by shard; keyed by the alignment."""
    space = workspace()
    code = code_version(open_alignment, _embed, implementations=alignment_implementations(space, recipe))
    aligned = FeatureSetRef(
        stream="visual",
        key=digest({"alignment": alignment.sha256, "visual": visual.key, "code": code}),
        spec=None,
        derived_from=visual,
    )
    missing = representatives(space, aligned, clip_ids)
    if missing:
        with computing(space.settings):
            model = open_alignment(space, alignment)
        for shard in cut(missing, recipe.shard_clips):
            contents = list(content_ids(space, aligned, shard).values())
            facts = partial(_facts, space, visual, shard)
            commit_shard(
                space, aligned.key, contents, partial(_embed, space, model, visual, shard), code, facts
            )
    return aligned


def open_alignment(space: Workspace, alignment: ArtifactRef) -> Alignment:
    """The trained alignment."""
    from mer.alignment.pretrain import load_alignment

    return load_alignment(space.artifacts.fetch(alignment), space.weights)


def _embed(
    space: Workspace, model: Alignment, visual: FeatureSetRef, clip_ids: Sequence[str]
) -> list[ClipFeature]:
    from mer.alignment.pretrain import aligned_table
    from mer.features.dataset import table_rows

    return table_rows(aligned_table(model, feature_table(space, visual, clip_ids)))


def _facts(space: Workspace, visual: FeatureSetRef, clip_ids: Sequence[str]) -> dict[str, str]:
    """What a shard of aligned features is computed in (projectors run in fp32), and what the vectors it reads were."""
    from mer.encoders.placement import ON_CPU, computed_in

    return {**computed_in(ON_CPU), "read": read_in(space, (visual,), clip_ids)}
