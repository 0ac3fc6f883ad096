"""Label shift on top of self-training: the subsample has the challenge's priors, and corrections find them where they can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.label_shift.simulation import MER2023
from benchmarks.self_training.rounds import VOTERS, chosen_policy
from benchmarks.self_training.shift import ShiftCase, shift_case, shift_figures, shifted_rows
from mer.emotions import RAVDESS_EMOTIONS
from mer.ensemble.kernel import KernelFamily, KernelMember
from mer.ensemble.varied import PLAIN, VariedStream
from mer.examples import Examples

CLASSES = len(RAVDESS_EMOTIONS)
OF_A_SPEAKER = np.repeat(np.arange(CLASSES), [4] + [8] * 7)
"""RAVDESS: half as many neutral clips."""


def planted(speakers: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that are right posteriors of Gaussian classes up to a temperature of 3."""
    truth = np.tile(OF_A_SPEAKER, speakers)
    means = 1.6 * np.eye(CLASSES)
    seen = means[truth] + generator.normal(size=(len(truth), CLASSES))
    prior = np.bincount(truth) / len(truth)
    logits = -0.5 * np.square(seen[:, None] - means).sum(axis=2) + np.log(prior)
    return truth, (logits / 3).astype(np.float32)


def examples(truth: np.ndarray, speakers: list[str]) -> Examples:
    count = len(truth)
    return Examples(
        clip_ids=tuple(str(place) for place in range(count)),
        emotion=truth,
        valence=np.full(count, np.nan, dtype=np.float32),
        speaker=tuple(speakers),
        fold=np.zeros(count, dtype=np.int64),
        weight=np.ones(count, dtype=np.float32),
    )


def case(calibration: int, target: int, seed: int) -> ShiftCase:
    """A case with this many speakers in both sets, who are all alike."""
    truth, logits = planted(calibration + target, np.random.default_rng(seed))
    names = [f"s{place}" for place in range(calibration + target) for _ in OF_A_SPEAKER]
    held = np.arange(calibration * len(OF_A_SPEAKER))
    asked = np.arange(len(held), len(truth))
    return shift_case(examples(truth, names), held, logits[held], asked, logits[asked])


def test_a_subsample_has_the_mapped_priors_and_no_clip_twice() -> None:
    truth = np.tile(OF_A_SPEAKER, 5)
    rows = shifted_rows(truth, RAVDESS_EMOTIONS, np.random.default_rng(0))
    assert len(set(rows.tolist())) == len(rows) == 129
    counts = dict(zip(RAVDESS_EMOTIONS, np.bincount(truth[rows], minlength=CLASSES).tolist(), strict=True))
    merged = [counts["neutral"] + counts["calm"]] + [
        counts[name] for name in ("angry", "happy", "sad", "fearful", "surprised")
    ]
    np.testing.assert_allclose(np.array(merged) / len(rows), MER2023.priors[1], atol=0.005)
    assert counts["disgust"] == 0 and counts["sad"] == 40, "as many clips as there can be"
    kept = shifted_rows(truth, RAVDESS_EMOTIONS, np.random.default_rng(0), disgust=True)
    share = (truth[kept] == RAVDESS_EMOTIONS.index("disgust")).mean()
    assert share == pytest.approx(8 / 60, abs=0.005) and set(rows) < set(kept)


def test_corrections_find_the_priors_where_speakers_are_alike() -> None:
    figures = shift_figures([case(16, 16, seed=0)], RAVDESS_EMOTIONS, draws=1)
    assert figures["shift_l1_training"] > 0.4
    for estimator, left in (
        ("em", 0.6),
        ("bbse", 0.5),
    ):  # EM is pulled toward the training priors by a hundred clips
        assert figures[f"shift_l1_{estimator}"] < left * figures["shift_l1_training"]
        assert figures[f"shift_{estimator}"] > figures["shift_uncorrected"] + 0.02
    for oracle in ("shift_oracle", "shift_oracle_served"):
        assert figures[oracle] > figures["shift_uncorrected"] + 0.03
    assert figures["shift_oracle_served_null"] == figures["shift_uncorrected_null"]
    assert figures["shift_detected"] == 1.0 and figures["shift_detected_null"] == 0.0
    assert figures["shift_decided_null"] == figures["shift_uncorrected_null"]
    assert figures["shift_corrected_null"] == 0.0


def test_labels_of_the_test_fold_score_answers_and_do_not_make_them() -> None:
    honest = case(4, 5, seed=3)
    wrong = replace(honest, truth=(honest.truth + 1) % CLASSES)
    one, other = (shift_figures([given], RAVDESS_EMOTIONS, draws=1) for given in (honest, wrong))
    # on the whole fold the clips are the same: what is found on it must be so, and the scores must not
    for key in ("shift_disagreement_null", "shift_detected_null", "shift_detected_unknown_null"):
        assert one[key] == other[key]
    assert one["shift_em_null"] > other["shift_em_null"] + 0.2


def test_calibration_clips_are_the_labelled_speakers_and_read_no_other_labels() -> None:
    generator = np.random.default_rng(5)
    truth = np.tile(np.repeat(np.arange(CLASSES), 2), 8)
    speaker = np.repeat(np.arange(8), 2 * CLASSES)
    features = np.eye(CLASSES)[truth] + 0.4 * generator.normal(size=(len(truth), CLASSES))
    stream = VariedStream({PLAIN: features.astype(np.float32)}, np.ones(len(truth), dtype=bool))
    family = KernelFamily({"s": stream}, {name: KernelMember(streams={"s": 1.0}) for name in VOTERS}, CLASSES)
    labelled, unlabelled = speaker < 4, (speaker >= 4) & (speaker < 6)  # the last two are the test fold
    hidden = np.where(labelled, truth, generator.permutation(truth))
    found = [
        chosen_policy(
            family, examples(known, [f"actor_{one}" for one in speaker]), labelled, unlabelled, CLASSES
        )
        for known in (truth, hidden)
    ]
    assert found[0][:2] == found[1][:2]
    np.testing.assert_array_equal(found[0][2].rows, np.flatnonzero(labelled))
    for one, other in zip(found[0][2].logits, found[1][2].logits, strict=True):
        np.testing.assert_array_equal(one, other)
    right = (found[0][2].logits[0].argmax(axis=1) == truth[labelled]).mean()
    assert 0.3 < right < 1.0, "left-out speakers are neither guessed nor known by heart"
