"""Kernel and linear systems: what they read, weights and soft targets, missing streams, valence, and clips that say little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from varied_clips import CLASSES, CLIPS, TELLING, made

from mer.errors import ConfigError
from mer.kernels import lesson as lessons
from mer.kernels.fit import KernelSpec, fit_kernel
from mer.kernels.lesson import read_lesson
from mer.kernels.machines import SHARPNESS, Reading
from mer.stream_tables import FeatureTable, LevelTables, absent_table, without_clips, without_stream
from mer.systems.fitted import FittedSystem
from mer.systems.kinds import FitData, fit_system

BOTH = pytest.mark.parametrize("kind", ["kernel", "linear"])
FIXED: dict[str, dict[str, Any]] = {"kernel": {"penalty": 0.1}, "linear": {"inverse_penalty": 0.1}}


def fitted(kind: str, data: FitData, **options: Any) -> FittedSystem:
    return fit_system(kind, data, FIXED[kind] | options)


def accuracy(system: FittedSystem, data: FitData) -> float:
    right = system.posteriors(data.tables).predicted == np.arange(CLIPS) % 3
    return float(right[~data.train].mean())


@BOTH
def test_the_hidden_states_that_are_named_are_read(kind: str) -> None:
    data = made()
    telling = fitted(kind, data, streams={"acoustic": 1.0}, states={"acoustic": (TELLING, TELLING)})
    silent = fitted(kind, data, streams={"acoustic": 1.0}, states={"acoustic": (0, 1)})
    assert accuracy(telling, data) > 0.85 and accuracy(silent, data) < 0.6
    assert telling.streams == ("acoustic",)
    with pytest.raises(ConfigError, match="expected hidden states 0 to 4, found states 2 to 5"):
        fitted(kind, data, states={"acoustic": (2, 5)})
    with pytest.raises(ConfigError, match="expected some of acoustic, visual, noise, found smell"):
        fitted(kind, data, streams={"smell": 1.0})


@BOTH
def test_answers_are_means_over_variants(kind: str) -> None:
    """A clip in three equal variants is answered as in one; other variants count."""
    data = made()
    system = fitted(kind, data)
    table = data.tables["states"]["acoustic"]
    plain = replace(table, values=table.values[:, :1])
    equal = replace(table, values=np.repeat(table.values[:, :1], 3, axis=1))
    answers = [
        system.posteriors({"states": {**data.tables["states"], "acoustic": one}}).logits
        for one in (plain, equal, table)
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    assert not np.allclose(answers[0], answers[2], atol=1e-2)
    unvaried = fitted(kind, data, variants=False).posteriors(data.tables).logits
    assert not np.allclose(unvaried, answers[2], atol=1e-2)


@BOTH
def test_weight_two_is_the_clip_twice_and_soft_one_hot_is_hard(kind: str) -> None:
    data = made()
    weight = np.ones(CLIPS, np.float32)
    weight[4] = 2
    weighted = fitted(kind, made(weight=weight)).posteriors(data.tables)
    rows = np.concatenate([np.arange(CLIPS), [4]])
    ids = (*data.examples.clip_ids, "again")
    whole = data.examples.subset(np.arange(CLIPS))
    doubled = replace(
        whole,
        clip_ids=ids,
        emotion=whole.emotion[rows],
        valence=whole.valence[rows],
        speaker=tuple(whole.speaker[i] for i in rows),
        fold=whole.fold[rows],
        weight=whole.weight[rows],
    )
    tables = {
        name: FeatureTable(ids, table.values[rows], table.present[rows])
        for name, table in data.tables["states"].items()
    }
    twice = FitData({"states": tables}, doubled, data.train[rows], np.zeros(len(rows), dtype=bool), CLASSES)
    # temperatures are fitted on clips, each once, so raw machines are compared
    raw = [raw_scores(fitted(kind, one), data) for one in (made(weight=weight), twice)]
    np.testing.assert_allclose(raw[0], raw[1], atol=2e-2)
    assert not np.allclose(raw[0], raw_scores(fitted(kind, data), data), atol=2e-2)
    soft = fitted(kind, made(target=np.eye(3, dtype=np.float32)[data.examples.emotion]))
    np.testing.assert_array_equal(
        soft.posteriors(data.tables).logits, fitted(kind, data).posteriors(data.tables).logits
    )
    assert len(weighted) == CLIPS


def raw_scores(system: FittedSystem, data: FitData) -> np.ndarray:
    """At the temperature 1, whatever was fitted."""
    temperature = system.fitted.rule.temperatures["machine"]  # type: ignore[attr-defined]
    logits = temperature * system.posteriors(data.tables).logits.astype(np.float64)
    return np.asarray(logits - logits.mean(axis=1, keepdims=True))


@BOTH
def test_clips_without_a_stream_are_learnt_from_and_answered(kind: str) -> None:
    data = made()
    holes = np.arange(CLIPS) % 2 == 0
    table = without_clips(data.tables["states"]["acoustic"], holes)
    partial = replace(data, tables={"states": {**data.tables["states"], "acoustic": table}})
    system = fitted(kind, partial, states={"acoustic": (TELLING, TELLING)})
    right = system.posteriors(partial.tables).predicted == data.examples.emotion
    asked = ~data.train
    assert right[asked & ~holes].mean() > 0.8 and right[asked & holes].mean() > 0.45
    weights = system.stream_weights(partial.tables)
    column = weights.streams.index("acoustic")
    assert (weights.values[holes, column] == 0).all() and (weights.values[~holes, column] > 0).all()
    np.testing.assert_allclose(weights.values.sum(axis=1), 1)
    # no table, a table of nobody, and masking are the same
    others = {name: one for name, one in data.tables["states"].items() if name != "acoustic"}
    without: list[LevelTables] = [{"states": others}, without_stream(data.tables, "acoustic")]
    without.append({"states": {**others, "acoustic": absent_table(data.tables["states"]["acoustic"])}})
    answers = [system.posteriors(tables).logits for tables in without]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    np.testing.assert_array_equal(answers[1], answers[2])


@BOTH
def test_valence_is_learnt_where_there_is_some(kind: str) -> None:
    data = made()
    truth = data.examples.valence
    partly = truth.copy()
    partly[::3] = np.nan  # a class without any
    for values in (truth, partly):
        answers = fitted(kind, made(valence=values)).posteriors(data.tables).valence
        assert np.corrcoef(answers[~data.train], truth[~data.train])[0, 1] > (0.7 if values is truth else 0.3)
    none = fitted(kind, made(valence=np.full(CLIPS, np.nan, np.float32))).posteriors(data.tables)
    assert np.isnan(none.valence).all() and np.isfinite(none.logits).all()


@pytest.mark.parametrize("kind", ["kernel", "linear", "searched"])
def test_clips_that_say_little_are_borne(kind: str) -> None:
    """A class without clips, one speaker, fewer clips than folds, constant features, half precision."""
    data = made()
    no_third = made(emotion=np.where(data.examples.emotion == 2, -1, data.examples.emotion))
    alone = made(speaker=("s",) * CLIPS)
    few = replace(data, train=np.isin(np.arange(CLIPS), (0, 1, 40, 43)))
    tables = dict(data.tables["states"])
    tables["noise"] = replace(tables["noise"], values=np.ones((CLIPS, 3), np.float32))
    tables["acoustic"] = replace(tables["acoustic"], values=tables["acoustic"].values.astype(np.float16))
    constant = replace(data, tables={"states": tables})
    for name, case in {"class": no_third, "alone": alone, "few": few, "constant": constant}.items():
        answers = fit_system(kind, case, {}).posteriors(case.tables)
        assert np.isfinite(answers.logits).all(), name
        if name == "class":
            assert (answers.predicted != 2).all()
        elif name != "few":
            assert (answers.predicted == data.examples.emotion)[~data.train].mean() > 0.6, name


def test_what_cannot_be_read_is_refused() -> None:
    data = made()
    table = data.tables["states"]["visual"]

    def with_values(values: np.ndarray) -> FitData:
        return replace(
            data, tables={"states": {**data.tables["states"], "visual": replace(table, values=values)}}
        )

    broken = table.values.copy()
    broken[3] = np.nan
    with pytest.raises(ConfigError, match="stream visual: expected finite features"):
        fit_system("kernel", with_values(broken), {})
    with pytest.raises(ConfigError, match=r"\(clips, variants, states, width\) or \(clips, width\)"):
        fit_system("kernel", with_values(table.values[:, 0]), {})
    with pytest.raises(ConfigError, match="expected 1 variant of each clip, or as many"):
        fit_system("kernel", with_values(np.repeat(table.values, 2, axis=1)), {})
    system = fit_system("kernel", data, {})
    with pytest.raises(ConfigError, match=r"expected 1 hidden states of width 4, .* found 1 of width 3"):
        system.posteriors(with_values(table.values[..., :3]).tables)
    one = made(emotion=np.zeros(CLIPS, dtype=np.int64))
    with pytest.raises(ConfigError, match="expected clips of at least two classes"):
        fit_system("searched", one, {})


def test_more_clips_than_can_be_solved_are_learnt_through_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And variants are left out first."""
    data = made()
    monkeypatch.setattr(lessons, "LARGEST", 2 * CLIPS)
    lesson = read_lesson(data, ("acoustic",), 5, 0)
    spec = KernelSpec({"acoustic": Reading(TELLING, TELLING, 1.0)}, 0.5, 0.1, varied=True)
    exact, _ = fit_kernel(lesson, spec)
    assert not exact.varied and len(exact.dual) == len(lesson) == 90
    monkeypatch.setattr(lessons, "LARGEST", 60)
    monkeypatch.setattr(lessons, "LANDMARKS", 45)
    system = fitted("kernel", data, streams={"acoustic": 1.0}, states={"acoustic": (TELLING, TELLING)})
    (machine,) = system.fitted.machines.values()  # type: ignore[attr-defined]
    assert len(machine.dual) == 45 and accuracy(system, data) > 0.7
    assert system.figures["validation_accuracy"] > 0.7


def test_out_of_fold_answers_are_those_of_fits_on_the_other_folds() -> None:
    data = made()
    lesson = read_lesson(data, (), 3, 0)
    spec = KernelSpec({"acoustic": Reading(1, 3, 1.0), "visual": Reading(0, 0, 0.3)}, 0.5, 0.1, varied=True)
    _, held_out = fit_kernel(lesson, spec)
    assert lesson.fold.max() == 2
    for number in range(3):
        rows = np.flatnonzero(lesson.fold == number)
        others = lesson.subset(np.flatnonzero(lesson.fold != number))
        machine, _ = fit_kernel(others, spec)
        from mer.kernels.machines import LearntStates, averaged, exponents

        features = {name: lesson.features[name][:, rows] for name in spec.readings}
        learnt = {name: others.features[name] for name in spec.readings}
        (exponent,) = exponents(features, LearntStates(learnt), [spec.readings], 3)
        expected, _ = averaged(machine.scores(exponent), 3)
        np.testing.assert_allclose(held_out.logits[rows], expected, atol=1e-3 * SHARPNESS)


@pytest.mark.parametrize("named", [{}, {"acoustic": 1.0, "visual": 1.0}])
@BOTH
def test_the_width_of_what_no_clip_has_is_only_guessed(kind: str, named: dict[str, float]) -> None:
    data = made()
    tables = dict(data.tables["states"])
    guessed = np.zeros((CLIPS, 1, 1, 1), np.float32)
    tables["visual"] = FeatureTable(data.examples.clip_ids, guessed, np.zeros(CLIPS, dtype=bool))
    lacking = replace(data, tables={"states": tables})
    whole, without = fitted(kind, data, streams=named), fitted(kind, lacking, streams=named)
    np.testing.assert_array_equal(  # answered like clips that lack the stream
        whole.posteriors({"states": tables}).logits,
        whole.posteriors(without_stream(data.tables, "visual")).logits,
    )
    # fitted on clips of which none has the stream: it is not read, and others may have it
    assert "visual" not in without.streams
    np.testing.assert_array_equal(
        without.posteriors(data.tables).logits, without.posteriors({"states": tables}).logits
    )
