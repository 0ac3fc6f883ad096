"""A home whose catalogue has a number of clips with labels and tiny features, written by the bulk path, and a model that answers.

The clips' files are not there but for those that are measured; where `with_files` is asked for they are, of one byte each, with
the stamps that the catalogue has, so that whole ingestion finds them unchanged.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from tasks.stage.workspace import Workspace

CORPUS, FEW = "many", "few"
EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
CLIP_BYTES = 400_000
"""Size of a clip as the catalogue has it: four seconds of 16-bit sound at 48 kHz."""
SHARD = 4096
"""The most clips a shard may have."""
LABELLED = 10
"""One clip in so many has a label."""
AT_ONCE = 100_000
LEFT = 0.01
"""Share of the clips whose features are not extracted yet: a run that was killed at 99 %."""
_STAMP = 1_700_000_000_000_000_000
RECIPE = """
name: scale
emotions: [neutral, angry, happy, sad, worried, surprise]
acoustic: {features: {modality: acoustic, source: "sound:"}}
fusion: {model: concat, epochs: 2, hidden: 8}
folds: {count: 2, use_published: false, seed: 1}
comparisons: none
label_shift: {mode: "off"}
gate: {min_clips: 4, resamples: 200}
"""


def content(number: int) -> str:
    """Content of a clip that is not there."""
    return hashlib.sha256(f"clip {number}".encode()).hexdigest()


def fill(space: Workspace, root: Path, rows: int, *, before: int = 0, with_files: bool = False) -> None:
    """Clips with labels up to a number of rows, and the features of all but the last `LEFT` of them.

    Args:
        space: of the home.
        root: folder of the corpus.
        rows: clips there are in the end.
        before: clips there are already.
        with_files: their files too.
    """
    root.mkdir(parents=True, exist_ok=True)
    number = space.catalogue.upsert_corpus(CORPUS, root, "table", EMOTIONS)
    size = 1 if with_files else CLIP_BYTES
    columns = {
        "clips": "corpus_id name content path duration_seconds has_audio has_video speaker split",
        "media_files": "corpus_id path name size mtime_ns content",
        "gold_labels": "corpus_id name emotion",
    }
    with space.catalogue.database.writing() as connection:
        for numbers in parts(before, rows, AT_ONCE):
            named = [(clip, f"clip{clip:08d}", content(clip), str(path_of(root, clip))) for clip in numbers]
            values: dict[str, list[tuple[object, ...]]] = {
                "clips": [
                    (number, name, of, path, 4.0, True, False, f"s{clip % 499}", split_of(clip))
                    for clip, name, of, path in named
                ],
                "media_files": [(number, path, name, size, _STAMP, of) for _, name, of, path in named],
                "gold_labels": [
                    (number, name, emotion_of(clip)) for clip, name, _, _ in named if clip % LABELLED == 0
                ],
            }
            for table, inserted in values.items():
                _insert(connection, table, columns[table].split(), inserted)
    _write_features(space, before - int(LEFT * before), rows - int(LEFT * rows))
    if with_files:
        _write_files(root, rows)


def _insert(
    connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """Rows that are not there yet, by what the database has for many."""
    listed = ", ".join(columns)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({listed}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        marks = ", ".join("?" * len(columns))
        driver.executemany(f"INSERT INTO {table} ({listed}) VALUES ({marks})", rows)


def split_of(number: int) -> str:
    """One clip in `LABELLED` is trained on."""
    return "train" if number % LABELLED == 0 else "unlabelled"


def emotion_of(number: int) -> str:
    """Label of a labelled clip."""
    return EMOTIONS[number // LABELLED % len(EMOTIONS)]


def path_of(root: Path, number: int) -> Path:
    """A thousand clips a folder."""
    return root / f"{number // 1000:04d}" / f"clip{number:08d}.wav"


def feature_set(space: Workspace) -> str:
    """Key of the features that the recipe reads."""
    from mer.recipes.loading import parse_recipe
    from tasks.data.features import plan_features

    stream = parse_recipe(RECIPE, origin="scale").streams["acoustic"]
    return plan_features.fn(CORPUS, {"acoustic": stream.features}, (), SHARD).features["acoustic"].key


def _write_features(space: Workspace, before: int, count: int) -> None:
    from mer.features.clip_feature import ClipFeature
    from tasks.data.shard_commit import commit_shard

    key = feature_set(space)
    for numbers in parts(before, count, SHARD):
        values = np.random.default_rng(numbers[0]).normal(size=(len(numbers), 1, 2)).astype(np.float32)
        features = [ClipFeature(value, present=True) for value in values]
        commit_shard(space, key, [content(number) for number in numbers], partial(list, features))


def _write_files(root: Path, rows: int) -> None:
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "emotion", "speaker"))
        for number in range(rows):
            path = path_of(root, number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"0")
            os.utime(path, ns=(_STAMP, _STAMP))
            label = emotion_of(number) if number % LABELLED == 0 else ""
            table.writerow((path.stem, label, f"s{number % 499}"))


def write_sound(path: Path, seed: int) -> Path:
    """.3 s of a sound of its own."""
    import soundfile

    at = np.arange(4_800) / 16_000
    noise = np.random.default_rng(seed).normal(0, 0.02, at.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(
        path, (0.3 * np.sin(2 * np.pi * (100 + seed % 400) * at) + noise).astype(np.float32), 16_000
    )
    return path


def make_model(space: Workspace, folder: Path) -> None:
    """Train the recipe on a few real clips by the stages of a run, and make it champion."""
    from mer.recipes.loading import parse_recipe
    from mer.recipes.members import neural_choice
    from mer.training.partition import FINAL_VIEW
    from tasks.data.dataset import snapshot_dataset
    from tasks.data.features import cut, extract_shard, plan_features
    from tasks.data.ingestion import list_corpus, probe_shard, write_labels
    from tasks.learn.fusion import fuse_view
    from tasks.serve.domain import training_domain
    from tasks.serve.evaluation import evaluate
    from tasks.serve.promotion import RegisteredAs, register
    from tasks.stage.references import FusionJob, SnapshotPlan, StreamInput, View

    recipe = parse_recipe(RECIPE, origin="scale")
    with (_ensured(folder) / "labels.csv").open("w") as table:
        table.write("name,emotion,speaker\n")
        for number in range(48):
            write_sound(folder / f"few{number}.wav", number)
            table.write(f"few{number},{EMOTIONS[number % len(EMOTIONS)]},s{number // 6 % 8}\n")
    listing = list_corpus.fn(str(folder), FEW, recipe.emotions)
    probed = [probe_shard.fn(FEW, shard, True) for shard in cut(listing.fresh, SHARD)]
    write_labels.fn(listing, recipe.emotions, sum(probed))
    dataset = snapshot_dataset.fn(FEW, SnapshotPlan.of(recipe))
    names = [row.name for row in space.catalogue.clips(FEW)]
    plan = plan_features.fn(FEW, {"acoustic": recipe.streams["acoustic"].features}, names, SHARD)
    for shard in plan.shards:
        extract_shard.fn(FEW, shard)
    inputs = {
        "acoustic": StreamInput("acoustic", "acoustic", recipe.streams["acoustic"], plan.features["acoustic"])
    }
    views = [View(dataset, name) for name in dataset.views]
    fused = [fuse_view.fn(view, inputs, FusionJob("fused", neural_choice(recipe.fusion))) for view in views]
    final = next(view for view in views if view.name == FINAL_VIEW)
    evaluation = evaluate.fn(final, fused, "fused", recipe.label_shift)
    domain = training_domain.fn(dataset, {view.name: inputs for view in views}, "utterance")
    served = next(item for item in fused if item.view == FINAL_VIEW)
    version = register.fn(final, RegisteredAs(FEW, recipe), inputs, served, evaluation, domain)
    space.catalogue.set_alias(FEW, "champion", version.version, "the benchmark's")


def parts(first: int, end: int, size: int) -> Iterator[Sequence[int]]:
    """Numbers from `first` to before `end`, so many at once."""
    for begin in range(first, end, size):
        yield range(begin, min(begin + size, end))


def _ensured(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
