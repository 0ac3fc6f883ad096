"""A corpus is what it is: shard borders, the order of entries and touched files leave the same catalogue.

The corpus has equal contents under several names: with labels that contradict each other, in training and evaluation at once,
with and without speakers; and files that are set aside, equal ones among them.
"""

from __future__ import annotations

import csv
import os
import wave
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import Integer, select

from infra.catalogue.tables import Base
from infra.catalogue.utc_time import UtcTime
from mer.emotions import MER_EMOTIONS
from mer.recipes import Recipe
from tasks.data.dataset import load_examples, load_partitions, snapshot_dataset
from tasks.data.features import cut
from tasks.data.ingestion import IngestReport, list_corpus, probe_shard, write_labels
from tasks.stage.references import DatasetRef, SnapshotPlan
from tasks.stage.workspace import Workspace, workspace

OTHERS = ("ann", "bob", "cid", "dan", "gus", "hal")
# name, content (a number: the seed of a sound), emotion, valence, speaker, split, transcript
CLIPS = (
    ("one", 1, "happy", "", "ann", "train", "first words"),
    ("other", 1, "sad", "", "bob", "train", "other words"),  # contradicts `one`
    ("mild", 2, "sad", "-1", "ann", "train", ""),
    ("strong", 2, "sad", "-4", "ann", "train", ""),  # the valences contradict
    ("silent", 2, "", "", "", "unlabelled", ""),  # of the same content, without label
    ("learnt", 3, "angry", "", "bob", "train", "said in training"),
    ("tested", 3, "", "", "eve", "test", "said in the test"),  # `learnt` leaves training
    ("taught", 4, "happy", "2", "cid", "train", ""),
    ("watched", 4, "happy", "2", "fay", "canary", ""),  # `taught` leaves training
    ("seen", 5, "neutral", "", "cid", "train", ""),
    ("spare", 5, "", "", "", "unlabelled", ""),  # `seen` stays
    ("twin", 6, "sad", "-2", "dan", "train", ""),
    ("again", 6, "sad", "-2", "gus", "train", ""),  # dan and gus are one fold group
    *((f"clip{i}", 10 + i, MER_EMOTIONS[i % 3], "", who, "train", "") for i, who in enumerate(OTHERS)),
    ("free", 30, "", "", "ivy", "unlabelled", ""),
)  # fmt: skip
BROKEN = {"empty": b"", "text": b"no sound", "text2": b"no sound"}
USABLE = {name for name, *_ in CLIPS}
RECIPE = Recipe.model_validate(
    {
        "name": "order",
        "folds": {"count": 3},
        "visual": {"features": {"modality": "visual", "source": "files:none"}},
    }
)


class Ingested(NamedTuple):
    space: Workspace
    report: IngestReport
    dataset: DatasetRef
    tables: dict[str, list[tuple[Any, ...]]]


TIMES = {"mtime_ns", "expires_at"}
OF_THE_HOME = {"store_identity"}
"""Tables that tell homes apart."""
LONG_AGO = 1_600_000_000


def write_sound(path: Path, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, 3000, 1600).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(samples.tobytes())


def write_table(root: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    with (root / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(("name", "emotion", "valence", "speaker", "split", "transcript"))
        table.writerows((name, *more) for name, _, *more in rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, content, *_ in CLIPS:
        write_sound(folder / "audio" / f"{name}.wav", content)
    for name, data in BROKEN.items():
        (folder / "audio" / f"{name}.wav").write_bytes(data)
    return folder


def ingest(root: Path, shard_clips: int, *, backwards: bool) -> IngestReport:
    listing = list_corpus.fn(str(root), "corpus", MER_EMOTIONS)
    if backwards:
        listing = replace(listing, fresh=tuple(reversed(listing.fresh)))
    probed = [probe_shard.fn("corpus", shard, False) for shard in cut(listing.fresh, shard_clips)]
    return write_labels.fn(listing, MER_EMOTIONS, sum(probed))


def laid_out(root: Path, *, backwards: bool) -> list[Path]:
    """The corpus' table in one of two orders; its files, unchanged for long."""
    rows = [*CLIPS, *((name, 0, "sad", "", "", "train", "") for name in BROKEN)]
    write_table(root, rows[::-1] if backwards else rows)
    files = sorted((root / "audio").iterdir())
    for path in files:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return files


def tables(space: Workspace) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, sorted, without times and row ids."""
    found = {}
    with space.catalogue.database.reading() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name in OF_THE_HOME:
                continue
            columns = [
                column
                for column in table.columns
                if not isinstance(column.type, UtcTime)
                and column.name not in TIMES
                and not (column.primary_key and isinstance(column.type, Integer))
            ]
            rows = connection.execute(select(*columns)).all() if columns else []
            found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingested]:
    """One shard, in the order of the table, ingested once; the test leaves the home as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MER_HOME", str(tmp_path_factory.mktemp("plain") / "home"))
        laid_out(root, backwards=False)
        report = ingest(root, 64, backwards=False)
        dataset = snapshot_dataset.fn("corpus", SnapshotPlan.of(RECIPE))
        yield Ingested(workspace(), report, dataset, tables(workspace()))


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("shard_clips", [4, 9, 64])
def test_the_catalogue_does_not_depend_on_how_it_was_filled(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plain: Ingested,
    shard_clips: int,
    backwards: bool,
) -> None:
    """Ingested once, then with half of its files touched."""
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    files = laid_out(root, backwards=backwards)
    for time in (LONG_AGO, LONG_AGO + 9):
        for path in files[::2]:
            os.utime(path, (time, time))
        report = ingest(root, shard_clips, backwards=backwards)
        snapshot_dataset.fn("corpus", SnapshotPlan.of(RECIPE))
        for name, rows in tables(workspace()).items():
            assert rows == plain.tables[name], name
        assert replace(report, probed_now=plain.report.probed_now) == plain.report


def test_every_name_is_a_clip_and_says_what_the_table_says_of_it(plain: Ingested) -> None:
    space, report = plain.space, plain.report
    rows = {row.name: row for row in space.catalogue.clips("corpus")}
    assert len(rows) == len(space.catalogue.clips("corpus")) and set(rows) == USABLE
    for name, _, emotion, valence, speaker, split, transcript in CLIPS:
        row = rows[name]
        assert (row.speaker, row.split, row.transcript) == (speaker or None, split, transcript or None)
        if split != "unlabelled":
            assert (row.emotion, row.valence) == (emotion or None, float(valence) if valence else None)
    assert report.entries == len(USABLE) + len(BROKEN) == report.accepted + sum(report.quarantined.values())
    assert {item.name for item in space.catalogue.quarantined("corpus")} == set(BROKEN)


def test_a_snapshot_settles_nothing_and_trains_on_nothing_that_is_evaluated(plain: Ingested) -> None:
    space, dataset = plain.space, plain.dataset
    examples = load_examples(space, dataset).examples
    at = {name: row for row, name in enumerate(examples.clip_ids)}
    assert set(at) == USABLE
    for name in ("one", "other", "mild", "strong", "silent"):
        assert examples.emotion[at[name]] == -1 and np.isnan(examples.valence[at[name]]), name
    _, views = load_partitions(space, dataset)
    learnt = np.any([view.train | view.validation for view in views.values()], axis=0)
    assert {name for name in USABLE if learnt[at[name]]} == {
        name for name, _, emotion, _, _, split, _ in CLIPS if emotion and split == "train"
    } - {"one", "other", "mild", "strong", "learnt", "taught"}
    assert examples.fold[at["twin"]] == examples.fold[at["again"]] >= 0
    group = {
        int(examples.fold[at[name]])
        for name, _, _, _, speaker, *_ in CLIPS
        if speaker in {"dan", "gus"} and name != "free"
    }
    assert len(group) == 1, "two speakers who share a file are one fold group"
    for name, view in views.items():
        where = {examples.content[row] for row in np.flatnonzero(view.train | view.validation)}
        assert not where & {examples.content[row] for row in np.flatnonzero(view.test | view.canary)}, name
