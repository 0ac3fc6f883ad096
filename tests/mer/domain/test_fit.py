"""Thresholds: held-out speakers of the corpus stay inside, others do not, and small corpora say nothing rather than anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mer.domain.fit import LEAST_CLIPS, fit_tables, held_out_distances, inner_distances, threshold
from mer.domain.training_domain import ARRAYS, RECORD, TrainingDomain
from mer.errors import WeightsError
from mer.stream_tables import FeatureTable, RaggedTable, StreamTable

WIDTH = 40


def speech(speakers: int, each: int, seed: int) -> tuple[FeatureTable, list[str]]:
    """Clips of speakers who differ as much as their clips do."""
    generator = np.random.default_rng(seed)
    voice = np.repeat(generator.normal(size=(speakers, 8)), each, axis=0)
    mixing = np.random.default_rng(5).normal(size=(8, WIDTH))
    values = (voice + generator.normal(size=voice.shape)) @ mixing + 0.3 * generator.normal(
        size=(len(voice), WIDTH)
    )
    names = [f"{seed}s{row // each}c{row}" for row in range(len(values))]
    table = FeatureTable(tuple(names), values.astype(np.float32), np.ones(len(values), dtype=bool))
    return table, [f"{seed}s{row // each}" for row in range(len(values))]


def noise(count: int) -> FeatureTable:
    values = 2 * np.random.default_rng(9).normal(size=(count, WIDTH)).astype(np.float32)
    return FeatureTable(tuple(f"n{row}" for row in range(count)), values, np.ones(count, dtype=bool))


def domain_of(tables: dict[str, StreamTable], groups: list[str]) -> TrainingDomain:
    everyone = np.ones(len(groups), dtype=bool)
    held_out = inner_distances(tables, everyone, groups)
    return TrainingDomain("utterance", fit_tables(tables, everyone, held_out), (0.25, 0.75), -0.5)


@pytest.mark.parametrize(("speakers", "each"), [(24, 30), (12, 20), (6, 10)])
def test_new_speakers_are_inside_and_others_are_not(speakers: int, each: int) -> None:
    table, groups = speech(speakers, each, seed=1)
    domain = domain_of({"voice": table}, groups)
    flagged = [domain.outside({"voice": speech(12, 40, seed)[0]}).mean() for seed in (2, 3, 4)]
    assert np.mean(flagged) < 0.05, flagged
    assert domain.outside({"voice": noise(60)}).mean() > 0.95


def test_folds_hold_out_in_their_own_space() -> None:
    """A fold's view may have another space than the served one: distances are of the fold's own."""
    table, groups = speech(12, 20, seed=1)
    parts = np.unique(np.array(groups), return_inverse=True)[1] % 3
    held_out = []
    for fold in range(3):
        turned = replace(table, values=table.values[:, ::-1] * (fold + 1))
        held_out.append(held_out_distances({"voice": turned}, parts != fold, parts == fold))
    everyone = np.ones(len(groups), dtype=bool)
    domain = TrainingDomain("utterance", fit_tables({"voice": table}, everyone, held_out))
    assert domain.outside({"voice": speech(12, 40, 2)[0]}).mean() < 0.05
    assert domain.outside({"voice": noise(60)}).all()


def test_each_of_several_tables_counts_where_the_clip_has_it() -> None:
    voice, groups = speech(24, 30, seed=1)
    face = replace(voice, values=voice.values[:, ::-1].copy())
    domain = domain_of({"voice": voice, "face": face}, groups)
    new, far = speech(1, 30, seed=2)[0], noise(30)
    mixed = replace(far, clip_ids=new.clip_ids)
    absent = replace(mixed, present=np.zeros(30, dtype=bool))
    turned = replace(new, values=new.values[:, ::-1].copy())
    assert domain.outside({"voice": new, "face": mixed}).all()
    assert domain.outside({"voice": new, "face": absent}).mean() < 0.1
    assert domain.outside({"voice": new, "face": turned}).mean() < 0.1
    assert not domain.outside({"other": mixed}).any(), "a stream of which nothing is known"
    assert not domain.outside({"voice": replace(new, values=new.values[:, :7])}).any(), "of another width"


@pytest.mark.parametrize("case", ["few clips", "few different clips", "one speaker"])
def test_too_little_says_nothing(case: str) -> None:
    table, groups = speech(1 if case == "one speaker" else 6, 20, seed=1)
    rows = np.arange(LEAST_CLIPS - 1) if case == "few clips" else np.arange(len(groups))
    values = table.values[rows]
    if case == "few different clips":  # two sentences, said again and again
        values = values[rows % 2]
    table = FeatureTable(tuple(table.clip_ids[row] for row in rows), values, np.ones(len(rows), dtype=bool))
    assert domain_of({"words": table}, [groups[row] for row in rows]).tables == {}


def test_frames_are_measured_by_their_mean() -> None:
    table, groups = speech(24, 30, seed=1)
    count = len(groups)
    offsets = np.concatenate([[0], np.cumsum(1 + np.arange(count) % 3)])
    wave = np.random.default_rng(1).normal(size=(int(offsets[-1]), WIDTH)).astype(np.float32)
    values = np.concatenate(
        [
            table.values[row] + part - part.mean(axis=0)
            for row in range(count)
            for part in [wave[offsets[row] : offsets[row + 1]]]
        ]
    )
    ragged = RaggedTable(table.clip_ids, values, offsets, table.present)
    plain, framed = (domain_of({"voice": one}, groups).tables["voice"] for one in (table, ragged))
    assert framed.threshold == pytest.approx(plain.threshold, rel=1e-3)


@pytest.mark.parametrize(("count", "share"), [(999, 0.01), (99, 0.01), (400, 0.05)])
def test_the_threshold_is_exceeded_as_often_as_it_says(count: int, share: float) -> None:
    generator = np.random.default_rng(count)
    exceeded = [
        generator.gamma(4, size=200) > threshold(generator.gamma(4, size=count), share) for _ in range(300)
    ]
    assert np.mean(exceeded) == pytest.approx(share, rel=0.25)


def test_few_held_out_clips_have_a_threshold_beyond_all() -> None:
    assert threshold(np.array([1.0, 2.0, 1.5]), 0.01) == 2.5


def test_it_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    table, groups = speech(12, 20, seed=1)
    domain = domain_of({"acoustic/b": table, "a": table}, groups)
    domain.save(tmp_path / "x")
    domain.save(tmp_path / "again")
    for name in (RECORD, ARRAYS):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    read = TrainingDomain.load(tmp_path / "x")
    assert (read.level, read.class_shares, read.valence) == ("utterance", (0.25, 0.75), -0.5)
    new = {"a": noise(9)}
    for name in ("a", "acoustic/b"):
        known, stored = domain.tables[name], read.tables[name]
        assert known.threshold == stored.threshold
        np.testing.assert_array_equal(
            known.gaussian.distance(new["a"].values), stored.gaussian.distance(new["a"].values)
        )
    (tmp_path / "x" / ARRAYS).write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="domain of a training set"):
        TrainingDomain.load(tmp_path / "x")


def test_nothing_known_is_saved_too(tmp_path: Path) -> None:
    TrainingDomain("frames").save(tmp_path)
    assert TrainingDomain.load(tmp_path) == TrainingDomain("frames")
