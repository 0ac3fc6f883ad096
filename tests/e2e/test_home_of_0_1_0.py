"""A home of 0.1.0 opens: what was catalogued is there, and its champion answers as it did, before anything is trained again."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from home_of_0_1_0 import (
    CORPUS,
    MODEL,
    RECIPE,
    RECOGNISER,
    SAMPLES_ARE_NAMES,
    OldHome,
    clip_of,
    content_of,
    extract,
    revision,
    unpack,
    unpack_on_postgres,
)

from infra.artifacts import ArtifactStore
from infra.catalogue import Catalogue
from infra.objects import open_store
from mer.predictor.predictor import Predictor

POSTGRES = pytest.param("postgres", marks=pytest.mark.slow)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return extract(tmp_path_factory.mktemp("home_of_0_1_0"))


@pytest.fixture(params=["sqlite", POSTGRES])
def home(request: pytest.FixtureRequest, archive: Path, tmp_path: Path) -> OldHome:
    if request.param == "sqlite":
        return unpack(archive, tmp_path)
    fresh: Callable[[], str] = request.getfixturevalue("fresh_postgres")
    return unpack_on_postgres(archive, tmp_path, fresh())


@pytest.fixture
def catalogue(home: OldHome) -> Iterator[Catalogue]:
    """The home's catalogue, which opening brings to today's schema."""
    assert revision(home) == "0004"
    with home.installation.catalogue() as opened:
        yield opened


def test_clips_keep_labels_speakers_splits_and_transcripts(home: OldHome, catalogue: Catalogue) -> None:
    rows = {row.name: row for row in catalogue.clips(CORPUS, RECOGNISER)}
    expected = home.facts["clips"]
    assert set(rows) == set(expected) | (set(home.facts["equal_content"]) if SAMPLES_ARE_NAMES else set())
    for name, facts in expected.items():
        row = rows[name]
        known = {key: getattr(row, key) for key in facts if key not in ("path", "content", "heard")}
        assert known == {key: facts[key] for key in known}, name
        assert row.path == home.root / facts["path"]
        assert hashlib.sha256(row.path.read_bytes()).hexdigest() == facts["content"] == content_of(row)


def test_recognised_speech_is_told_from_transcripts_of_the_corpus(
    home: OldHome, catalogue: Catalogue
) -> None:
    told = {row.name: row.transcript for row in catalogue.clips(CORPUS)}
    heard = {name for name, facts in home.facts["clips"].items() if facts["heard"]}
    assert heard == {name for name in home.facts["clips"] if told[name] is None} != set()


def test_corpora_and_what_was_set_aside(home: OldHome, catalogue: Catalogue) -> None:
    (row,) = catalogue.corpora()
    (facts,) = home.facts["corpus"]
    assert (row.name, row.root, row.format) == (facts["name"], home.root / facts["root"], facts["format"])
    assert list(row.emotions) == facts["emotions"]
    quarantined = {item.name: item.reason for item in catalogue.quarantined(CORPUS)}
    assert quarantined == home.facts["quarantine"]


def test_quality_and_pseudo_labels_are_those_of_the_same_clips(home: OldHome, catalogue: Catalogue) -> None:
    names = {facts["content"]: name for name, facts in home.facts["clips"].items()}
    quality = catalogue.quality(CORPUS, "1:haar")
    assert {names[content]: row.speech_seconds for content, row in quality.items()} == home.facts["quality"]
    generations = {row.key: row for row in catalogue.generations(CORPUS)}
    assert set(generations) == {facts["key"] for facts in home.facts["generations"]}
    for facts in home.facts["generations"]:
        row = generations[facts["key"]]
        assert (str(row.state), row.reason) == (facts["state"], facts["reason"])
        labels = catalogue.pseudo_labels(row.key)
        found = {
            names[content_of(label)]: [label.emotion, label.confidence, label.valence] for label in labels
        }
        assert found == facts["labels"]


def test_versions_champion_and_audit_survive(home: OldHome, catalogue: Catalogue) -> None:
    versions = [
        {
            "version": row.version,
            "artifact": row.artifact.model_dump(),
            "evaluation": row.evaluation.model_dump() if row.evaluation else None,
            "snapshot": row.snapshot_id,
            "metrics": row.metrics,
            "created_at": row.created_at.isoformat(),
        }
        for row in catalogue.model_versions(MODEL)
    ]
    assert versions == home.facts["versions"] and len(versions) == 2
    champion = catalogue.champion(MODEL)
    assert champion is not None and champion.version == home.facts["champion"]
    audit = [
        {**{key: getattr(row, key) for key in facts}, "created_at": row.created_at.isoformat()}
        for row, facts in zip(catalogue.promotions(MODEL, None), home.facts["audit"], strict=True)
    ]
    assert audit == home.facts["audit"]
    store = ArtifactStore(open_store(home.installation.settings()), cache=home.root / "cache")
    for row in catalogue.model_versions(MODEL):
        store.verify(row.artifact)


def test_opening_it_twice_changes_nothing_more(home: OldHome) -> None:
    with home.installation.catalogue() as first:
        rows, newest = first.clips(CORPUS, RECOGNISER), revision(home)
    with home.installation.catalogue() as second:
        assert second.clips(CORPUS, RECOGNISER) == rows
    assert revision(home) == newest


@pytest.mark.slow
def test_the_old_champion_gives_the_probabilities_it_gave(
    home: OldHome, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    champion = catalogue.champion(MODEL)
    assert champion is not None
    store = ArtifactStore(open_store(home.installation.settings()), cache=home.root / "cache")
    expected = home.facts["predictions"]
    rows = [row for row in catalogue.clips(CORPUS, RECOGNISER) if row.name in expected]
    clips = [clip_of(row, home.root / "corpus") for row in rows]
    weights = tmp_path_factory.getbasetemp() / "weights-of-the-old-champion"
    scores = Predictor(store.fetch(champion.artifact), weights).scores(clips)
    shares = np.exp(scores.logits - scores.logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    assert {row.name for row in rows} == set(expected)
    wanted = np.array([expected[row.name]["probabilities"] for row in rows])
    np.testing.assert_allclose(shares, wanted, rtol=0, atol=1e-5)
    valence = np.array([expected[row.name]["valence"] for row in rows])
    np.testing.assert_allclose(scores.valence, valence, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_the_command_line_predicts_before_any_retraining(home: OldHome, tmp_path: Path) -> None:
    expected = home.facts["predictions"]
    heard = {name for name, facts in home.facts["clips"].items() if facts["heard"]}
    twins = set(home.facts["equal_content"]) if SAMPLES_ARE_NAMES else set()
    paths = [home.root / "corpus" / "audio"]
    if not SAMPLES_ARE_NAMES:
        paths = [home.root / home.facts["clips"][name]["path"] for name in sorted(expected)]
    out = tmp_path / "predictions.csv"
    said = home.installation.mer("predict", *map(str, paths), "--out", str(out), "--model", MODEL)
    assert f"{MODEL} version {home.facts['champion']}" in said.stdout
    answers = {row["name"]: row for row in csv.DictReader(out.read_text(encoding="utf-8").splitlines())}
    unusable = {name for name, row in answers.items() if row["status"] != "ok"}
    assert set(answers) - unusable == set(expected) | twins
    assert {answers[name]["status"] for name in unusable} <= {"empty_file", "not_media"}
    (corpus,) = home.facts["corpus"]
    for name in set(expected) - heard:  # what a recogniser hears may change with the processor
        shares = expected[name]["probabilities"]
        assert answers[name]["discrete"] == corpus["emotions"][int(np.argmax(shares))], name
        assert float(answers[name]["confidence"]) == pytest.approx(max(shares), abs=1e-4)


@pytest.mark.slow
def test_old_versions_are_compared_as_they_were(home: OldHome) -> None:
    said = home.installation.mer("evaluate", MODEL, "--version", "2", "--against", "1").stdout
    gate = json.loads(home.facts["audit"][1]["evidence"])
    assert f"{gate['clips']} clips that neither was trained on" in said
    assert f"{gate['difference']:+.4f}" in said and f"{gate['champion']:.4f}" in said
    assert "champion" in home.installation.mer("models", MODEL).stdout


@pytest.mark.slow
@pytest.mark.nightly
def test_the_next_run_adds_a_version_and_judges_it_against_the_old_champion(
    archive: Path, tmp_path: Path, server_addresses: dict[str, str]
) -> None:
    home = unpack(archive, tmp_path)
    installation = replace(home.installation, environment=server_addresses)
    installation.mer("run", "--recipe", str(RECIPE), "--corpus", str(home.root / "corpus"), "--name", CORPUS)
    with installation.catalogue() as catalogue:
        rows = {row.name: row for row in catalogue.clips(CORPUS, RECOGNISER)}
        audit = catalogue.promotions(MODEL, None)
        assert [row.version for row in catalogue.model_versions(MODEL)] == [1, 2, 3]
    for name, facts in home.facts["clips"].items():
        assert (rows[name].emotion, rows[name].transcript) == (facts["emotion"], facts["transcript"]), name
    for name, twin in home.facts["equal_content"].items() if SAMPLES_ARE_NAMES else ():
        assert (rows[name].emotion, rows[name].transcript) == (rows[twin].emotion, rows[twin].transcript)
        assert rows[name].split == rows[twin].split
    known = len(home.facts["audit"])
    assert [row.reason for row in audit[:known]] == [facts["reason"] for facts in home.facts["audit"]]
    (verdict,) = audit[known:]
    assert verdict.version == 3 and verdict.champion_version == home.facts["champion"]
    assert verdict.evidence is not None and json.loads(verdict.evidence)["clips"] == 15
