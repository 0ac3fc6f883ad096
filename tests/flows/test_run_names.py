"""Runs say in lists what they work on, and each has a name of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import run_name
from flows.options import DemoOptions, RetrainOptions
from flows.predict_options import PredictOptions
from flows.run_name import subject_of


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        (DemoOptions(), "demo corpus, recipe demo"),
        (DemoOptions(corpus="/data/my calls"), "my calls, recipe clips"),
        (
            DemoOptions(corpus="s3://bucket/some/calls?endpoint=http://h:1", recipe="best"),
            "calls, recipe best",
        ),
        (
            RetrainOptions(corpus="x", corpus_name="calls", recipe="/a/mine.yaml", model="m"),
            "calls, recipe mine, model m",
        ),
        (PredictOptions(paths=("a/b.mp4", "c.mp4", "d.mp4")), "b.mp4 and 2 more, newest champion"),
        (PredictOptions(candidates="t/names.csv", model="m"), "names.csv, model m"),
        (None, ""),
    ],
)
def test_what_a_run_works_on(options: Any, subject: str) -> None:
    assert subject_of({"options": options}) == subject


def test_long_names_are_cut() -> None:
    assert (
        len(
            subject_of({"options": DemoOptions(corpus_name="a" * 64, corpus="x", recipe=f"/{'r' * 80}.yaml")})
        )
        == 60
    )


def test_a_run_that_begins_again_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        def __init__(self, name: str) -> None:
            self.flow_run = type("Run", (), {"name": name})()
            self.parameters = {"options": DemoOptions()}

        def get(self) -> Context:
            return self

    monkeypatch.setattr(run_name, "FlowRunContext", Context("brave-otter"))
    named = run_name.run_name()
    assert named == "demo corpus, recipe demo (brave-otter)"
    monkeypatch.setattr(run_name, "FlowRunContext", Context(named))
    assert run_name.run_name() == named


def test_a_folder_without_a_usable_name_stops_nothing(tmp_path: Path) -> None:
    assert subject_of({"options": DemoOptions(corpus=f"{tmp_path}/..hidden")}) == "..hidden, recipe clips"
