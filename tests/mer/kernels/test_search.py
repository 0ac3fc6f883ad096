"""The search: what it chooses, that it sees neither test clips nor untrue labels in its judgement, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from varied_clips import CLIPS, TELLING, made

from mer.kernels import lesson as lessons
from mer.kernels.comparison import Comparison
from mer.kernels.config import SearchedOptions
from mer.kernels.grid import nearby_windows, windows
from mer.kernels.lesson import read_lesson
from mer.kernels.search import kernel_members, logistic_members
from mer.kernels.system import SearchedSystem
from mer.systems.kinds import FitRun, fit_system, load_system


@pytest.fixture(scope="module")
def system() -> SearchedSystem:
    found = fit_system("searched", made(), {})
    assert isinstance(found, SearchedSystem)
    return found


def test_windows_of_the_written_list() -> None:
    assert windows(7) == [(0, 3), (1, 4), (2, 5), (3, 6), (0, 6)] and windows(1) == [(0, 0)]
    assert nearby_windows((1, 4), 7) == [(1, 3), (2, 4), (2, 3), (0, 5)]


def test_it_finds_what_tells_the_class(system: SearchedSystem) -> None:
    data = made()
    chosen = Comparison(read_lesson(data, (), 5, 0), SearchedOptions(), lambda: None).chosen()
    first, last = chosen.windows["acoustic"]
    assert first <= TELLING <= last and last - first < 4
    weights = {name: read.weight for name, read in chosen.best.readings.items()}
    assert weights["acoustic"] > weights.get("visual", 0.0) >= weights.get("noise", 0.0)
    right = system.posteriors(data.tables).predicted == data.examples.emotion
    assert right[~data.train].mean() > 0.9


def test_members_are_distinct_and_learn_from_variants() -> None:
    lesson = read_lesson(made(), (), 5, 0)
    options = SearchedOptions()
    chosen = Comparison(lesson, options, lambda: None).chosen()
    kernels = kernel_members(lesson, chosen, options)
    assert len({repr(spec) for spec in kernels.values()}) == len(kernels)
    assert {spec.varied for spec in kernels.values()} == {False, True}
    assert kernels["kernel, varied"].penalty == 2 * kernels["kernel"].penalty
    assert not any(
        spec.varied for spec in kernel_members(lesson, chosen, SearchedOptions(variants=False)).values()
    )
    paths = logistic_members(lesson, chosen, options)
    assert [one.inverse_penalty for one in paths["logistic"]] == list(options.inverse_penalties)


def test_figures_and_history_say_what_was_chosen(system: SearchedSystem, tmp_path: Path) -> None:
    figures, history = system.figures, system.history
    assert 0.85 < figures["validation_accuracy"] <= 1 and 0.85 < figures["validation_waf"] <= 1
    assert figures["candidates"] == len(history) and figures["members"] == sum(
        row["weight"] > 0 for row in history
    )
    assert sum(row["weight"] for row in history) == pytest.approx(1)
    assert {"loss", "waf", "accuracy", "varied", "weight"} <= set(history[0])
    assert {"width", "penalty", "weight.acoustic", "first.acoustic", "last.acoustic"} <= set(history[0])
    assert "inverse_penalty" in history[-1]
    system.save(tmp_path)
    loaded = load_system(tmp_path)
    assert loaded.figures == figures and list(loaded.history) == list(history)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "machines.json",
        "machines.safetensors",
        "system.json",
    ]
    json.loads((tmp_path / "machines.json").read_text(encoding="utf-8"))


def test_neither_validation_clips_nor_hidden_labels_are_read(system: SearchedSystem) -> None:
    """Their labels, and their features, may be anything."""
    data = made()
    asked = ~data.train
    emotion = np.where(asked, (data.examples.emotion + 1) % 3, data.examples.emotion)
    other = replace(data, examples=replace(data.examples, emotion=emotion), validation=asked)
    tables = {
        name: replace(
            table, values=np.where(asked.reshape(-1, *[1] * (table.values.ndim - 1)), 7, table.values)
        )
        for name, table in data.tables["states"].items()
    }
    for case in (other, replace(other, tables={"states": tables})):
        answers = fit_system("searched", case, {}).posteriors(data.tables)
        np.testing.assert_array_equal(answers.logits, system.posteriors(data.tables).logits)


def test_clips_outside_of_the_cross_validation_are_learnt_from_and_judge_nothing() -> None:
    """Pseudo-labels, as they come: without a fold. Wrong ones among them do not spoil the figures."""
    data = made()
    pseudo = data.train & (np.arange(CLIPS) % 4 == 0)
    wrong = np.where(pseudo, (data.examples.emotion + 1) % 3, data.examples.emotion)
    examples = replace(data.examples, emotion=wrong, weight=np.where(pseudo, 0.1, 1).astype(np.float32))
    judged_by_all = fit_system("searched", replace(data, examples=examples), {})
    fold = np.where(pseudo, -1, 0)
    judged = fit_system("searched", replace(data, examples=replace(examples, fold=fold)), {})
    assert judged.figures["validation_accuracy"] > judged_by_all.figures["validation_accuracy"] + 0.1
    lesson = read_lesson(replace(data, examples=replace(examples, fold=fold)), (), 5, 0)
    assert len(lesson) == data.train.sum() and lesson.judged.sum() == (data.train & ~pseudo).sum()


def test_fewer_clips_are_compared_where_there_are_many() -> None:
    data = made()
    lesson = read_lesson(data, (), 5, 0)
    rows = lesson.spread(50)
    assert len(rows) == 50
    for values in (lesson.fold, lesson.examples.emotion):
        np.testing.assert_allclose(
            np.bincount(values[rows]) / 50, np.bincount(values) / len(lesson), atol=0.05
        )
    done: list[tuple[int, int]] = []
    small = fit_system("searched", data, {"compared": 50}, FitRun(progress=lambda *step: done.append(step)))
    right = small.posteriors(data.tables).predicted == data.examples.emotion
    assert right[~data.train].mean() > 0.8 and done[-1][0] == done[-1][1]


@pytest.mark.parametrize("kinds", [["kernel"], ["linear"]])
def test_kinds_and_streams_of_members_can_be_restricted(kinds: list[str]) -> None:
    data = made()
    system = fit_system("searched", data, {"kinds": kinds, "streams": ["visual"]})
    assert system.streams == ("visual",)
    assert all(("width" in row) == (kinds == ["kernel"]) for row in system.history)


@pytest.mark.parametrize("speakers", [1, 2])
def test_true_labels_of_few_speakers_judge_where_they_can(speakers: int) -> None:
    fold = np.full(CLIPS, -1)
    fold[: speakers * 10] = 0
    data = made(fold=fold)
    lesson = read_lesson(data, (), 5, 0)
    assert lesson.judged.sum() == (data.train.sum() if speakers == 1 else 20)
    assert fit_system("searched", data, {"selection": {"bags": 3}}).figures["validation_accuracy"] > 0.5


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("weights", ["a", 1], "valid number"),
        ("weights", [-1.0], "expected numbers from 0 to"),
        ("weights", [float("nan")], "expected numbers from 0 to"),
        ("widths", [0.0], "expected numbers from 1e-06 to"),
        ("penalties", [0.0], "expected numbers from 1e-06 to"),
        ("inverse_penalties", [-1.0], "expected numbers from 1e-06 to"),
    ],
)
def test_what_it_chooses_from_is_checked(option: str, value: list[Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SearchedOptions.model_validate({option: value})
    assert SearchedOptions.model_validate({option: [2.0, 1.0, 2.0]}).model_dump()[option] == (1.0, 2.0)


def test_variants_are_left_out_where_all_clips_have_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made()
    monkeypatch.setattr(
        lessons, "LARGEST", 200
    )  # 90 clips in 3 variants are more, the 50 that are compared are not
    system = fit_system("searched", data, {"compared": 50, "kinds": ["kernel"], "selection": {"bags": 3}})
    assert read_lesson(data, (), 5, 0).variants == 1
    assert isinstance(system, SearchedSystem) and not any(row["varied"] for row in system.history)
