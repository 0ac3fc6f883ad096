"""Batches of trials: how many are given out, and what becomes of those of a silent worker."""

from __future__ import annotations

import pytest

from infra.settings import Settings
from infra.studies import SURPLUS, Heartbeats, alive, claim, finish, finished_trials, open_study, seed_draws

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_no_more_trials_are_given_out_than_planned(settings: Settings) -> None:
    study = open_study(settings, "s")
    first = claim(study, planned=5, most=3)
    other = open_study(settings, "s")  # a second worker
    second = claim(other, planned=5, most=3)
    assert [trial.number for trial in first + second] == [0, 1, 2, 3, 4]
    assert claim(other, planned=5, most=3) == []
    for trial in first + second:
        assert finish(study, trial, 0.5)
    assert len(finished_trials(study)) == 5 and claim(study, planned=5, most=1) == []


def test_of_two_workers_at_the_last_place_the_later_withdraws(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(settings, "s")
    ask = study.ask

    def slow_ask() -> object:
        monkeypatch.setattr(study, "ask", ask)
        assert (
            len(claim(open_study(settings, "s"), planned=1, most=1)) == 1
        )  # between our look and our taking
        return ask()

    monkeypatch.setattr(study, "ask", slow_ask)
    assert claim(study, planned=1, most=1) == []
    states = {trial.number: (trial.state.name, trial.user_attrs.get(SURPLUS)) for trial in study.trials}
    assert states == {0: ("RUNNING", None), 1: ("FAIL", True)}


def test_a_trial_given_up_as_dead_is_not_counted_when_its_worker_comes_back(settings: Settings) -> None:
    study = open_study(settings, "s")
    (late,) = claim(study, planned=1, most=1)
    study.tell(late.number, state=_fail())  # another worker thought it dead
    assert finish(study, late, 0.9) is False
    assert finished_trials(study) == []


def test_with_a_seed_draws_depend_on_the_trials_number(settings: Settings) -> None:
    def drawn(name: str, most: int) -> list[float]:
        found: list[float] = []
        while len(found) < 4:
            study = open_study(settings, name)
            batch = claim(study, planned=4, most=most)
            for trial in batch:
                seed_draws(trial, "tpe", 3)
                found.append(trial.suggest_float("x", 0, 1))
            for trial in batch:
                finish(study, trial, 0.0)
        return found

    whole, resumed = drawn("whole", 4), drawn("resumed", 2)
    assert whole == resumed and len(set(whole)) == 4


def test_heartbeats_end_with_the_block(settings: Settings) -> None:
    import threading

    study = open_study(settings, "s", heartbeats=Heartbeats(1))
    with alive(study, claim(study, planned=1, most=1)):
        assert any(thread.name == "heartbeats" for thread in threading.enumerate())
    assert not any(thread.name == "heartbeats" for thread in threading.enumerate())


def _fail() -> object:
    from optuna.trial import TrialState

    return TrialState.FAIL
