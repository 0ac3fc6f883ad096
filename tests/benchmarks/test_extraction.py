"""The benchmarks of extraction at scale: their arithmetic, and that all of each runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.extraction import engines, orchestration, overlap


def test_shares_are_task_runs_times_their_cost_over_the_time_of_the_clips() -> None:
    figures = {
        "task_run_ms_threads": 20.0,
        "recorded_ms_threads": 50.0,
        "task_run_ms_workers": 100.0,
        "recorded_ms_workers": 80.0,
        "clips_per_second_speech": 10.0,
    }
    found = orchestration.shares(figures)
    assert found["shard_runs_100000"] == 391 and float(str(found["task_runs_100000"])) <= 200
    assert found["task_runs_1000"] == found["shard_runs_1000"] == 4, "small: a task run for each shard"
    runs = float(str(found["task_runs_100000"]))
    assert found["share_100000_threads_speech"] == pytest.approx(runs * 0.05 / 10_000)
    assert found["share_100000_workers_speech"] == pytest.approx(runs * 0.1 / 10_000)
    fastest = float(str(found["clips_per_second_at_2_percent_workers"]))
    again = orchestration.shares({**figures, "clips_per_second_speech": fastest})
    assert again["share_100000_workers_speech"] == pytest.approx(0.02)


@pytest.mark.nightly
def test_decoding_ahead_waits_less_for_the_same_bytes(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    figures = overlap.main(["--quick", "--clips", "160", "--json", str(written)])
    assert json.loads(written.read_text()) == figures
    assert figures["equal_bytes"] == 1
    assert float(str(figures["device_speech_ahead_waited_share"])) < float(
        str(figures["device_speech_in_turn_waited_share"])
    )


@pytest.mark.nightly
def test_orchestration_is_measured(tmp_path: Path) -> None:
    figures = orchestration.main(["--quick", "--json", str(tmp_path / "figures.json")])
    assert 0 < float(str(figures["share_100000_threads_speech"])) < 0.02


@pytest.mark.nightly
def test_engines_give_the_same_bytes(tmp_path: Path) -> None:
    figures = engines.main(
        [
            "--quick",
            "--clips",
            "300",
            "--engines",
            "threads",
            "workers",
            "--json",
            str(tmp_path / "figures.json"),
        ]
    )
    assert figures["equal_bytes"] == 1 and figures["shards"] == 2
