"""The benchmark of searched ensembles: its choices on real RAVDESS clips cannot follow the test labels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ravdess.ensemble import Settings, judged, outer_fold
from benchmarks.ravdess.streams import FACE, PLAIN, SOUND, Corpus, layer, load_corpus, loudness_and_length
from mer.ensemble.varied import VariedStream
from mer.examples import Examples
from mer.media.audio import decode_audio

CLASSES, SPEAKERS, EACH = 3, 10, 12


def made_corpus(skill: float = 1.0) -> Corpus:
    """Ten speakers in five folds; every stream tells a little."""
    rng = np.random.default_rng(4)
    count = SPEAKERS * EACH
    emotion = np.tile(np.arange(CLASSES), count // CLASSES)
    examples = Examples(
        clip_ids=tuple(f"c{i}" for i in range(count)),
        emotion=emotion,
        valence=np.full(count, np.nan, np.float32),
        speaker=tuple(f"s{i // EACH}" for i in range(count)),
        fold=(np.arange(count) // EACH % 5).astype(np.int64),
        weight=np.ones(count, np.float32),
    )

    def stream(width: int) -> VariedStream:
        signal = skill * rng.normal(size=(CLASSES, width))[emotion]
        own = {
            name: (signal + rng.normal(size=(count, width))).astype(np.float32) for name in (PLAIN, "fast")
        }
        return VariedStream(own, np.ones(count, dtype=bool))

    widths = {layer(index): 6 for index in range(6)} | {FACE: 4, SOUND: 2}
    return Corpus(examples, ("a", "b", "c"), {name: stream(width) for name, width in widths.items()})


def test_an_outer_fold_is_the_same_whatever_its_test_labels_are() -> None:
    corpus = made_corpus()
    test = corpus.examples.fold == 1
    other = np.where(test, (corpus.examples.emotion + 1) % CLASSES, corpus.examples.emotion)
    lied = replace(corpus, examples=replace(corpus.examples, emotion=other))
    one, two = (outer_fold(own, Settings(quick=True), 1) for own in (corpus, lied))
    assert one.search == two.search
    assert one.logistic == two.logistic
    for name, posteriors in one.predictions.items():
        np.testing.assert_array_equal(posteriors.logits, two.predictions[name].logits)
        assert posteriors.clip_ids == tuple(corpus.examples.clip_ids[i] for i in np.flatnonzero(test))


def test_figures_are_those_of_the_predictions() -> None:
    corpus = made_corpus()
    outcomes = [outer_fold(corpus, Settings(quick=True), fold) for fold in range(5)]
    figures = judged(corpus, outcomes)
    truth = dict(zip(corpus.examples.clip_ids, corpus.examples.emotion.tolist(), strict=True))
    for name, own in figures.items():
        folds = [
            np.mean([truth[c] == p for c, p in zip(one.clip_ids, one.predicted, strict=True)])
            for one in (outcome.predictions[name] for outcome in outcomes)
        ]
        assert own["accuracy_folds"] == pytest.approx(folds)
        assert own["accuracy_mean"] == pytest.approx(np.mean(folds))
        low, high, point = own["interval_low"], own["interval_high"], own["accuracy"]
        assert isinstance(low, float) and isinstance(high, float) and isinstance(point, float)
        assert low <= point <= high
    assert figures["logistic"]["difference"] == 0
    ensemble, logistic = (figures[name]["accuracy"] for name in ("ensemble", "logistic"))
    assert isinstance(ensemble, float) and isinstance(logistic, float)
    assert figures["ensemble"]["difference"] == pytest.approx(ensemble - logistic)


def test_per_speaker_standardisation_and_a_subset_of_the_classes() -> None:
    corpus = made_corpus()
    own = corpus.per_speaker()[layer(2)].values["fast"]
    for speaker in range(SPEAKERS):
        np.testing.assert_allclose(own[speaker * EACH : (speaker + 1) * EACH].mean(axis=0), 0, atol=1e-5)
    fewer = corpus.without(("b",))
    kept = [i for i, emotion in enumerate(corpus.examples.emotion.tolist()) if emotion != 1]
    assert fewer.classes == ("a", "c")
    assert fewer.examples.clip_ids == tuple(corpus.examples.clip_ids[i] for i in kept)
    assert set(fewer.examples.emotion.tolist()) == {0, 1}
    np.testing.assert_array_equal(fewer.streams[FACE].values[PLAIN], corpus.streams[FACE].values[PLAIN][kept])


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_real_clips_beat_plain_logistic_regression(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick form on 360 real clips: streams are read as they should be, and two folds are not worse."""
    root = shared_data / "data" / "ravdess"
    encoder = shared_data / "models" / "moonshine-tiny-encoder"
    if not (root / "labels.csv").is_file() or not encoder.is_dir():
        pytest.skip(f"no RAVDESS or no encoder below {shared_data}")
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    corpus = load_corpus(root, str(encoder), tmp_path, 2, quick=True)
    assert len(corpus.examples) == 360
    assert corpus.streams[layer(6)].values["fast"].shape == (360, 576)
    first = root / "audio" / f"{corpus.examples.clip_ids[0]}.flac"
    np.testing.assert_allclose(corpus.streams[SOUND].values[PLAIN][0], loudness_and_length(first))
    assert np.exp(loudness_and_length(first)[1]) < decode_audio(first).size / 16_000
    outcomes = [outer_fold(corpus, Settings(quick=True), fold) for fold in (0, 1)]
    right = {
        name: np.mean(
            [
                corpus.examples.emotion[corpus.examples.clip_ids.index(clip)] == said
                for one in outcomes
                for clip, said in zip(
                    one.predictions[name].clip_ids, one.predictions[name].predicted, strict=True
                )
            ]
        )
        for name in ("logistic", "ensemble")
    }
    assert right["logistic"] > 0.7
    assert right["ensemble"] >= right["logistic"]
