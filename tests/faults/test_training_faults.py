"""Training on what cannot be trained on: typed errors, nothing registered; a batch of one is no fault."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fault_report import Faults
from invariants import check_invariants, within
from plain_flow import SmallHome, plainly
from refresh_corpus import write_table

from infra.catalogue import open_catalogue
from mer.errors import DivergedError, MerError

pytestmark = pytest.mark.fault


def _recipe(home: SmallHome, before: str, after: str) -> None:
    path = home.folder / "small.yaml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


def _diverging(home: SmallHome) -> None:
    _recipe(home, "learning_rate: 0.01", "learning_rate: 1.0e+30")


def _labels(home: SmallHome, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    text = (home.corpus / "labels.csv").read_text(encoding="utf-8")
    write_table(home.corpus, [change(row) for row in csv.DictReader(text.splitlines())])


def _one_class(home: SmallHome) -> None:
    _labels(home, lambda row: {**row, "emotion": "happy"})


def _no_labels(home: SmallHome) -> None:
    _labels(home, lambda row: {**row, "emotion": "", "split": "unlabelled"})


def _one_speaker(home: SmallHome) -> None:
    _labels(home, lambda row: {**row, "speaker": "s"})


def _features(home: SmallHome, value: float) -> None:
    for path in sorted((home.corpus / "features").rglob("*.npy")):
        np.save(path, np.full_like(np.load(path), value))


def _not_a_number(home: SmallHome) -> None:
    _features(home, float("nan"))


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (_diverging, DivergedError),
        (_one_class, MerError),
        (_no_labels, MerError),
        (_not_a_number, MerError),
    ],
    ids=["a loss that is not finite", "one class", "no labels", "features that are not finite"],
)
def test_what_cannot_be_trained_on_registers_nothing(
    fault: Callable[[SmallHome], None], error: type[Exception], tmp_path: Path, faults: Faults
) -> None:
    faults.row, faults.injected = "NaN loss, one-class labels, batch of one", 1
    home = SmallHome(tmp_path)
    fault(home)
    with plainly(), within(60), pytest.raises(error):
        home.run()
    check_invariants(home.settings, recovered=False)
    with open_catalogue(home.settings) as catalogue:
        assert catalogue.model_versions() == []


@pytest.mark.parametrize("fault", ["batch of one", "one speaker"])
def test_what_can_be_trained_on_after_all(fault: str, tmp_path: Path, faults: Faults) -> None:
    faults.row, faults.injected = "NaN loss, one-class labels, batch of one", 1
    home = SmallHome(tmp_path)
    if fault == "batch of one":
        _recipe(home, "epochs: 12", "epochs: 1, batch_size: 1")
    else:
        _one_speaker(home)
    with plainly(), within(60):
        try:
            home.run()
        except MerError:
            assert fault == "one speaker", "folds by speaker need several"
            check_invariants(home.settings, recovered=False)
            return
    check_invariants(home.settings, recovered=True)
