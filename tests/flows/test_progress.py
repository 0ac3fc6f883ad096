"""A run says which of how many stages it is at; what is found ready is one line, and time left is told where it is known."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep
from uuid import uuid4

import pytest
from prefect._internal.concurrency.cancellation import CancelledError
from prefect.futures import PrefectConcurrentFuture
from rich.console import Console

from flows import progress
from flows.pipeline_flow import _logged
from flows.progress import (
    StepProgress,
    begin_stage,
    duration,
    ended_in_turn,
    plan_stages,
    replan_stages,
    was_found,
)
from flows.terminal import Terminal
from infra.artifacts import ArtifactRef
from mer.recipes import load_recipe
from tasks.stage.part_progress import told_as
from tasks.stage.run import StageResult


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Console:
    """What is printed; no artifact is made, which needs a server."""
    console = Terminal(width=120, record=True, file=io.StringIO())
    monkeypatch.setattr(progress, "console", console)
    monkeypatch.setattr(progress, "create_progress_artifact", lambda **_: None)
    return console


def lines(console: Console) -> list[str]:
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("recipe", "last", "stages"),
    [
        ("demo", "registration", 9),
        ("demo", "features", 2),
        ("clips", "evaluation", None),
        ("acoustic_adaptation", "registration", None),
        ("best", "fusion", None),
    ],
)
def test_stages_are_numbered_in_the_order_in_which_the_recipe_has_them(
    recipe: str, last: str, stages: int | None, shown: Console
) -> None:
    plan_stages(load_recipe(recipe), last)
    names = progress._plan
    assert stages is None or len(names) == stages
    assert names[0] == "ingest" and names[-1] == last and len(set(names)) == len(names)
    for name in names:
        begin_stage(name)
    begin_stage("something else")
    assert lines(shown) == [
        *(f"[{number}/{len(names)}] {name}" for number, name in enumerate(names, 1)),
        "something else",
    ]


def test_stages_of_a_stream_that_is_left_out_are_not_counted(shown: Console) -> None:
    recipe = load_recipe("demo")
    plan_stages(recipe, "registration")
    replan_stages(recipe.without_streams(["visual"]))
    begin_stage("fusion")
    assert lines(shown) == ["[5/8] fusion"]


def test_parts_that_are_found_are_counted_in_one_line(shown: Console) -> None:
    steps = StepProgress("fusion", 24, "model")
    for number in range(24):
        steps.advance(f"fused, fold{number}", found=True)
    assert lines(shown) == ["  fusion found: 24 of 24"]


def test_parts_that_are_computed_have_a_line_each_and_the_time_left(shown: Console) -> None:
    now = [0.0]
    steps = StepProgress("fusion", 5, "model", clock=lambda: now[0])
    for number, found in enumerate((True, False, False, False, True)):
        now[0] += 0 if found else 100
        steps.advance(f"m{number}", found=found)
    assert lines(shown) == [
        "  fusion model 2/5: m1",
        "  fusion model 3/5: m2 (about 3 min left)",
        "  fusion model 4/5: m3 (about 100 s left)",
        "  fusion found: 2 of 5",
    ]


def test_a_part_that_takes_long_is_said_to_be_under_way(
    shown: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.2)
    steps = StepProgress("fusion", 3, "model")
    steps.advance("m0")
    with ThreadPoolExecutor(1) as pool:
        slow: PrefectConcurrentFuture[str] = PrefectConcurrentFuture(uuid4(), pool.submit(after, 0.5, "m1"))
        assert steps.awaited(slow) == "m1"
        assert steps.awaited(PrefectConcurrentFuture(uuid4(), pool.submit(lambda: "m2"))) == "m2"
    said = lines(shown)
    assert said[0] == "  fusion model 1/3: m0"
    assert 1 <= len(said[1:]) <= 3 and set(said[1:]) <= {
        f"  fusion model 2/3: under way for {seconds} s" for seconds in (0, 1)
    }


def after(seconds: float, name: str) -> str:
    sleep(seconds)
    return name


def test_a_slow_part_hides_no_other(shown: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.2)
    steps = StepProgress("fusion", 3, "model")
    with ThreadPoolExecutor(3) as pool:
        parts: list[PrefectConcurrentFuture[str]] = [
            PrefectConcurrentFuture(uuid4(), pool.submit(after, s, name))
            for s, name in ((0.9, "slow"), (0.01, "m1"), (0.02, "m2"))
        ]
        ended = []
        for part in steps.as_they_end(parts):
            ended.append(part.result())
            steps.advance(ended[-1])
    assert ended[-1] == "slow" and set(ended) == {"slow", "m1", "m2"}
    assert any(line.startswith("  fusion model 3/3: under way") for line in lines(shown))


def test_no_alarm_goes_on_while_a_part_is_worked_on(shown: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's `as_completed` with a time-out sets one, which ended runs in whatever they did when it came."""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.3)
    steps = StepProgress("fusion", 2, "model")
    with ThreadPoolExecutor(2) as pool:
        parts = [
            PrefectConcurrentFuture(uuid4(), pool.submit(after, seconds, name))
            for seconds, name in ((0.0, "m1"), (0.9, "m2"))
        ]
        ended = []
        for part in steps.as_they_end(parts):
            sleep(0.6)
            ended.append(part.result())
    assert ended == ["m1", "m2"]


@pytest.mark.parametrize("raised", [CancelledError, ConnectionError, SystemExit])
def test_no_bar_ends_a_run(
    raised: type[BaseException], shown: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's CancelledError is no Exception: under load it ended runs."""

    def fails(**_: object) -> None:
        raise raised

    monkeypatch.setattr(progress, "create_progress_artifact", fails)
    steps = StepProgress("fusion", 2, "model")
    steps.advance("m1")
    steps.advance("m2")
    assert lines(shown) == ["  fusion model 1/2: m1", "  fusion model 2/2: m2"]


def test_a_bar_that_is_not_drawn_is_not_waited_for(shown: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    answered, asked = Event(), []

    def hangs(**_: object) -> None:
        asked.append(1)
        answered.wait(60)

    monkeypatch.setattr(progress, "create_progress_artifact", hangs)
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.1)
    steps = StepProgress("fusion", 3, "model")
    for number in range(3):
        steps.advance(f"m{number}")
    answered.set()
    assert asked == [1] and len(lines(shown)) == 3


def test_a_flow_numbers_no_stage_by_the_plan_of_the_one_before(shown: Console) -> None:
    plan_stages(load_recipe("demo"), "registration")
    seen = []

    def begins() -> None:
        begin_stage("ingest")
        seen.append(progress._plan)

    _logged("retrain", begins)()
    assert seen == [()] and lines(shown) == ["ingest"]


def test_views_are_named_as_they_end_and_fits_say_how_far_they_are(
    shown: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adaptation of six views was silent for as long as all of them took."""
    monkeypatch.setattr(progress, "TOLD_SECONDS", 0.0)
    ref = ArtifactRef(kind="adapter", key="k", sha256="0" * 64)

    def fit(view: str, epochs: int) -> StageResult:
        for epoch in range(epochs):
            sleep(0.02)
            told_as(view)(epoch + 1, epochs + 1)
        return StageResult(ref=ref, ran=epochs > 0, seconds=0.0)

    with ThreadPoolExecutor(3) as pool:
        done = ended_in_turn(
            "adaptation of acoustic",
            {
                view: PrefectConcurrentFuture(uuid4(), pool.submit(fit, view, epochs))
                for view, epochs in (("fold0", 9), ("fold1", 0), ("final", 3))
            },
            was_found,
        )
    assert list(done) == ["fold0", "fold1", "final"]
    said = lines(shown)
    assert [line.split("(")[0].strip() for line in said if "view" in line] == [
        "adaptation of acoustic view 2/3: final",
        "adaptation of acoustic view 3/3: fold0",
    ]
    assert any(line.startswith("  adaptation of acoustic fold0: ") for line in said)
    assert said[-1] == "  adaptation of acoustic found: 1 of 3"


@pytest.mark.parametrize(
    ("seconds", "said"), [(59.6, "60 s"), (150, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_durations_are_told_in_units_of_their_size(seconds: float, said: str) -> None:
    assert duration(seconds) == said
