"""Guidance finds what only the guide points to; the whole benchmark takes 20 seeds: `python -m benchmarks.fusion.planted`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fusion.planted import CLASSES, FRAMES, SYSTEMS, accuracy, figures_of, planted


def test_the_class_is_in_no_stream_by_itself() -> None:
    """A linear classifier of the audio is at chance; of the mean frame it gets what one frame of eight can give."""
    from sklearn.linear_model import LogisticRegression

    corpus = planted(1)
    emotion = corpus.examples.emotion
    clips = len(emotion)
    mean_frame = corpus.tables["visual"].values.reshape(clips, FRAMES, -1).mean(axis=1)
    for values, least, most in ((corpus.tables["acoustic"].values, 0.17, 0.33), (mean_frame, 0.3, 0.6)):
        model = LogisticRegression(max_iter=500).fit(values[: clips // 2], emotion[: clips // 2])
        assert least < model.score(values[clips // 2 :], emotion[clips // 2 :]) < most


@pytest.mark.slow
@pytest.mark.parametrize(("guided", "unguided"), [("agt_guided", "agt_unguided"), ("s3", "s2")])
def test_who_asks_by_the_audio_finds_the_frame(guided: str, unguided: str) -> None:
    corpus = planted(4)
    shorter: dict[str, object] = {"epochs": 20}
    one, other = (accuracy(corpus, SYSTEMS[name] | shorter, seed=4) for name in (guided, unguided))
    assert one - other > 0.2, (one, other)


def test_figures_are_paired_by_seed() -> None:
    found = {"agt_guided": [0.9, 0.8], "agt_unguided": [0.5, 0.4], "s3": [0.6, 0.9], "s2": [0.5, 0.5]}
    figures = figures_of(found)
    assert figures["agt_gain"] == pytest.approx(0.4) and figures["agt_gain_low"] == pytest.approx(0.4)
    assert figures["s3_gain_least"] == pytest.approx(0.1)
    assert figures["chance"] == pytest.approx(1 / CLASSES)
    assert np.isclose(float(figures["s3_gain"]), 0.25)  # type: ignore[arg-type]
