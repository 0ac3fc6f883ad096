"""Snapshots: which clips, labels, folds and splits a run saw, frozen as an artifact under its membership hash."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prefect import task

from infra.catalogue import ClipRow, SnapshotMemberRow
from infra.catalogue.snapshots import membership_hash
from mer.clips import Split
from mer.errors import CorpusError
from mer.examples import Examples
from mer.recipes import FoldPlan
from mer.training.feasibility import fold_problem, missing_in_folds, training_feasibility
from tasks.data.equal_contents import equal_contents, with_settled_labels
from tasks.data.quality import filtered
from tasks.data.reviewed import labels_of_today
from tasks.stage.looking import is_looking
from tasks.stage.references import DatasetRef, SnapshotPlan, View
from tasks.stage.run import Produced, StageRun, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.training.partition import Partition

Mask = NDArray[np.bool_]
HELD_OUT_SPLITS = (Split.TEST, Split.CANARY)
"""Clips whose labels no view may see."""


@task(name="snapshot")
def snapshot_dataset(corpus: str, plan: SnapshotPlan) -> DatasetRef:
    """Freeze the corpus as it is now: clips, gold labels, speakers, splits, and the outer fold of every labelled clip.

    Labels that clips of equal content contradict are left out, and clips whose content is evaluated on get no fold: nothing
    trains on them.
    """
    space = workspace()
    rows = _usable(space, corpus, plan)
    membership = membership_hash(rows) if is_looking() else space.catalogue.snapshot(corpus, rows).id
    _require_labels(rows, plan.emotions)
    return _dataset(corpus, plan, membership, rows)


@task(name="earlier snapshot")
def earlier_dataset(corpus: str, plan: SnapshotPlan, snapshot_id: str) -> DatasetRef | None:
    """A snapshot as it was taken then; None: its members are not kept any more.

    Args:
        corpus: which it is of.
        plan: of the recipe, as it was then.
        snapshot_id: in the catalogue.
    """
    members = workspace().catalogue.snapshot_members(snapshot_id)
    return _dataset(corpus, plan, snapshot_id, members) if members else None


def _dataset(
    corpus: str, plan: SnapshotPlan, membership: str, members: Sequence[ClipRow | SnapshotMemberRow]
) -> DatasetRef:
    """The artifact of a snapshot with these members."""
    # by content first: a learner that takes clips in the order of this table takes them in no order of their names
    rows = sorted(members, key=lambda row: (row.content, row.name))

    def produce(run: StageRun) -> Produced:
        columns = _columns(rows, plan.emotions, plan.folds)
        buffer = io.BytesIO()
        _write_parquet(columns, buffer)
        labelled = np.asarray(columns["emotion"]) >= 0
        holdout, canary = np.asarray(columns["holdout"]), np.asarray(columns["canary"])
        views = [f"fold{fold}" for fold in sorted({int(fold) for fold in columns["fold"] if fold >= 0})] + [
            "final"
        ]
        counts = {
            "clips": len(rows),
            "labelled": int((np.asarray(columns["fold"]) >= 0).sum()),
            "unlabelled": int((~labelled).sum()),
            "holdout": int((labelled & holdout).sum()),
            "canary": int((labelled & canary).sum()),
        }
        return Produced(
            files={"examples.parquet": buffer.getvalue()}, meta={**counts, "views": ",".join(views)}
        )

    result = run_stage(
        "dataset",
        inputs={"membership": membership},
        config={"folds": plan.folds.model_dump(mode="json"), "emotions": list(plan.emotions)},
        produce=produce,
    )
    meta = result.meta
    return DatasetRef(
        ref=result.ref,
        corpus=corpus,
        membership=membership,
        views=tuple(str(meta["views"]).split(",")),
        clips=int(meta["clips"]),
        labelled=int(meta["labelled"]),
        unlabelled=int(meta["unlabelled"]),
        holdout=int(meta["holdout"]),
        emotions=plan.emotions,
        folds=plan.folds,
        canary=int(meta["canary"]),
    )


class SnapshotClips(NamedTuple):
    """All clips of a snapshot, and which of them are kept apart from all training."""

    examples: Examples
    holdout: Mask
    """(clips,) the fixed test split."""
    canary: Mask
    """(clips,) what watches over self-training."""
    part: tuple[str | None, ...]
    """(clips,) named part of the test split that a clip is of."""


def load_examples(space: Workspace, dataset: DatasetRef) -> SnapshotClips:
    """All clips of a snapshot as arrays, labels included. For the evaluator; stages use `load_view`."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(space.artifacts.read(dataset.ref, "examples.parquet"))).to_pydict()
    count = len(table["name"])
    examples = Examples(
        clip_ids=tuple(table["name"]),
        emotion=np.asarray(table["emotion"], dtype=np.int64),
        valence=np.asarray([np.nan if v is None else v for v in table["valence"]], dtype=np.float32),
        speaker=tuple(table["speaker"]),
        fold=np.asarray(table["fold"], dtype=np.int64),
        weight=np.ones(count, dtype=np.float32),
        content=tuple(table["content"]),
        target=_targets(table.get("target")),
    )
    return SnapshotClips(
        examples,
        np.asarray(table["holdout"], dtype=bool),
        np.asarray(table["canary"], dtype=bool),
        tuple(table.get("part") or [None] * count),  # snapshots of 0.3.0 name no parts
    )


def clip_ids_of(dataset: DatasetRef) -> tuple[str, ...]:
    """Names of all clips of a snapshot, in its order; nothing else of it is held in memory."""
    import pyarrow.parquet as pq

    names: list[str] = []
    file = pq.ParquetFile(workspace().artifacts.fetch(dataset.ref) / "examples.parquet")
    for batch in file.iter_batches(columns=["name"], use_threads=False):
        names += batch.column(0).to_pylist()
    return tuple(names)


def holdout_parts(space: Workspace, dataset: DatasetRef) -> dict[str, tuple[str, ...]]:
    """Named part of the holdout -> its clips, in the snapshot's order; empty where the corpus names no parts."""
    clips = load_examples(space, dataset)
    parts: dict[str, list[str]] = {}
    for name, part, held in zip(clips.examples.clip_ids, clips.part, clips.holdout, strict=True):
        if part is not None and held:
            parts.setdefault(part, []).append(name)
    return {part: tuple(parts[part]) for part in sorted(parts)}


def labelled_clip_ids(dataset: DatasetRef, views: Iterable[str]) -> tuple[str, ...]:
    """Names of the clips whose labels at least one of these views may see (training and validation), in the snapshot's order."""
    examples, partitions = load_partitions(workspace(), dataset)
    seen = np.zeros(len(examples.clip_ids), dtype=bool)
    for view in views:
        seen |= partitions[view].train | partitions[view].validation
    return tuple(examples.clip_ids[row] for row in np.flatnonzero(seen))


def load_view(space: Workspace, view: View) -> tuple[Examples, Partition]:
    """The examples with only the labels that the view may see, and its partition."""
    examples, partitions = load_partitions(space, view.dataset)
    partition = partitions[view.name]
    if view.part is not None:
        from mer.training.parts import held_out_part

        partition = held_out_part(partition, examples, view.part, view.dataset.folds.seed)
    return partition.visible(examples), partition


def judging_views(view: View) -> tuple[View, ...]:
    """Where the systems of a view are compared on its true labels: the view itself, by its validation speakers, or where these
    are few every part of its labelled speakers in turn.
    """
    from mer.training.parts import part_count

    examples, partition = load_view(workspace(), view)
    count = part_count(partition, examples)
    return tuple(replace(view, part=part) for part in range(count)) if count else (view,)


def load_partitions(space: Workspace, dataset: DatasetRef) -> tuple[Examples, Mapping[str, Partition]]:
    """All labels and every view's partition: for the evaluator, and for digests."""
    from mer.training.partition import partitions

    examples, holdout, canary, _ = load_examples(space, dataset)
    views = partitions(
        examples,
        holdout,
        validation_share=dataset.folds.validation_share,
        seed=dataset.folds.seed,
        canary=canary,
    )
    return examples, views


def _usable(space: Workspace, corpus: str, plan: SnapshotPlan) -> list[ClipRow]:
    """The clips a recipe works with: what its quality bounds leave out of training is no member; the holdout stays whole."""
    rows = labels_of_today(
        space, corpus, space.catalogue.clips(corpus, plan.recogniser), soft=plan.targets == "soft"
    )
    equal = equal_contents(space.catalogue.clips_sharing_content(corpus))
    for line in equal.lines():
        logging.getLogger(__name__).warning(line)
    rows = with_settled_labels(rows, equal)
    if plan.quality is None:
        return rows
    report = filtered(
        space, corpus, [row for row in rows if row.split not in HELD_OUT_SPLITS], plan.quality, plan.detector
    )
    logging.getLogger(__name__).warning("quality: %s", report)
    return [row for row in rows if row.name not in report.left_out]


@task(name="look for labels")
def training_problem(corpus: str, plan: SnapshotPlan) -> str | None:
    """Why nothing can be trained on the labels of a corpus, and what to do; None: something can."""
    rows = labels_of_today(workspace(), corpus, workspace().catalogue.clips(corpus), soft=False)
    try:
        equal = equal_contents(workspace().catalogue.clips_sharing_content(corpus))
        _require_labels(with_settled_labels(rows, equal), plan.emotions)
    except CorpusError as error:
        return str(error)
    return None


def _require_labels(rows: Sequence[ClipRow], emotions: Sequence[str]) -> None:
    training = [row for row in rows if row.split not in HELD_OUT_SPLITS]
    judged = training_feasibility(
        [row.emotion for row in training], [row.speaker for row in training], emotions, least_compared=0
    )
    if judged.problem is not None:
        raise CorpusError(judged.problem)


def training_remarks(dataset: DatasetRef, least_compared: int) -> tuple[str, ...]:
    """What is too few in a snapshot for a trustworthy model, and what to do; one line each.

    Args:
        dataset: the snapshot.
        least_compared: clips that the promotion gate needs.

    Raises:
        CorpusError: a fold leaves nothing to learn from.
    """
    clips = load_examples(workspace(), dataset)
    examples = clips.examples
    rows = np.flatnonzero(~(clips.holdout | clips.canary))
    labels = [dataset.emotions[examples.emotion[row]] if examples.emotion[row] >= 0 else None for row in rows]
    judged = training_feasibility(
        labels, [examples.speaker[row] for row in rows], dataset.emotions, least_compared=least_compared
    )
    fold = examples.fold[rows].tolist()
    if (problem := fold_problem(fold, labels)) is not None:
        raise CorpusError(problem)
    return (*judged.remarks, *missing_in_folds(fold, labels, dataset.emotions))


def _columns(
    rows: Sequence[ClipRow | SnapshotMemberRow], emotions: Sequence[str], plan: FoldPlan
) -> dict[str, list[Any]]:
    from mer.training.folds import outer_folds, uneven_folds

    emotion = np.array(
        [-1 if row.emotion is None else emotions.index(row.emotion) for row in rows], dtype=np.int64
    )
    holdout = np.array([row.split == Split.TEST for row in rows], dtype=bool)
    canary = np.array([row.split == Split.CANARY for row in rows], dtype=bool)
    judged = {
        row.content for row in rows if row.split in HELD_OUT_SPLITS
    }  # under whatever name: nothing trains on it
    trains = (emotion >= 0) & np.array([row.content not in judged for row in rows], dtype=bool)
    fold = np.full(len(rows), -1, dtype=np.int64)
    chosen = [row for row, keep in zip(rows, trains, strict=True) if keep]
    if plan.use_published and chosen and all(row.fold is not None for row in chosen):
        fold[trains] = [row.fold if row.fold is not None else -1 for row in chosen]
    else:
        fold[trains] = outer_folds(
            [row.speaker for row in chosen],
            [row.name for row in chosen],
            plan.count,
            plan.seed,
            [row.content for row in chosen],
        )
        if (uneven := uneven_folds(fold)) is not None:
            logging.getLogger(__name__).warning("%s", uneven)
    columns: dict[str, list[Any]] = {
        "name": [row.name for row in rows],
        "content": [row.content for row in rows],
        "emotion": emotion.tolist(),
        "valence": [row.valence for row in rows],
        "speaker": [row.speaker for row in rows],
        "fold": fold.tolist(),
        "holdout": holdout.tolist(),
        "canary": canary.tolist(),
        "part": [row.part for row in rows],
    }
    if any(row.votes is not None for row in rows):
        columns["target"] = [_distribution(row, emotions) for row in rows]
    return columns


def _distribution(row: ClipRow | SnapshotMemberRow, emotions: Sequence[str]) -> list[float] | None:
    """Share of every class in the votes; None: the label alone counts."""
    if row.votes is None:
        return None
    shares = dict(row.votes)
    return [shares.get(emotion, 0.0) for emotion in emotions]


def _targets(stored: Sequence[Sequence[float] | None] | None) -> NDArray[np.float32] | None:
    """(N, C) distributions, rows of NaN where the label alone counts; None: nowhere another."""
    known = [] if stored is None else [row for row in stored if row is not None]
    if stored is None or not known:
        return None
    hard = [float("nan")] * len(known[0])
    return np.asarray([hard if row is None else row for row in stored], dtype=np.float32)


def _write_parquet(columns: Mapping[str, list[Any]], target: io.BytesIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("name", pa.string()), ("content", pa.string()), ("emotion", pa.int64()), ("valence", pa.float32()),
            ("speaker", pa.string()), ("fold", pa.int64()), ("holdout", pa.bool_()),
            ("canary", pa.bool_()), ("part", pa.string()),
            *([("target", pa.list_(pa.float32()))] if "target" in columns else []),
        ]
    )  # fmt: skip
    pq.write_table(pa.table(dict(columns), schema=schema), target)
