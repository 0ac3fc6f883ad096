"""What crosses between flows and workers: JSON of declared types, and never anything that could run."""

from __future__ import annotations

import base64
import json
import pickle  # noqa: TID251
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flows.workers.messages import (
    WorkerError,
    error_to_text,
    outcome_from_text,
    parameters_from_text,
    parameters_to_text,
    value_to_text,
)
from flows.workers.serve import all_tasks, run_taken
from infra.artifacts import ArtifactRef
from infra.catalogue import TakenTask
from infra.errors import LeaseHeld, NotAReference, StoreFull
from mer.drift.config import DriftConfig
from mer.errors import CorpusError, MediaError, QuarantineReason
from mer.fusion.config import FusionConfig
from mer.recipes.loading import load_recipe, recipe_names
from mer.recipes.members import neural_choice
from tasks.learn.fusion import fuse_view
from tasks.serve.drift import DriftFound, DriftRequest
from tasks.stage.references import (
    DatasetRef,
    FeatureSetRef,
    FoldPlan,
    FusedView,
    FusionJob,
    StreamInput,
    StreamInputs,
    View,
)
from tasks.stage.run import StageResult

REF = ArtifactRef(kind="k", key="x", sha256="0" * 64, meta={"waf": 0.25, "n": 3, "yes": True, "none": None})


class Attack:
    """A pickle of it makes a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@dataclass(frozen=True)
class Pair:
    name: str
    values: tuple[float, ...]


def takes(pairs: Mapping[str, Pair], where: Path, names: Sequence[str] = (), count: int = 1) -> StageResult:
    return StageResult(REF, ran=True, seconds=float(len(pairs) + len(names) + count))


def there_and_back(parameters: dict[str, object]) -> dict[str, object]:
    return parameters_from_text(takes, parameters_to_text(takes, parameters))


def test_parameters_come_back_as_they_were() -> None:
    pairs = {"b": Pair("ä\udcff\0", (1.5, float("inf"))), "a": Pair("", ())}
    parameters = {"pairs": pairs, "where": Path("/x"), "names": ("y",), "count": 2}
    back = there_and_back(dict(parameters))
    assert back == parameters | {"names": back["names"]}
    assert list(back["names"]) == ["y"]  # type: ignore[call-overload]
    assert list(back["pairs"]) == ["b", "a"], "the order of streams is part of a key"  # type: ignore[call-overload]


def test_results_come_back_as_they_were() -> None:
    result = StageResult(REF, ran=True, seconds=0.1 + 0.2)
    assert outcome_from_text(takes, value_to_text(takes, result)) == result


def a_view() -> View:
    dataset = DatasetRef(REF, "c", "m", ("fold0", "final"), 3, 2, 1, 0, ("a", "b"), FoldPlan())
    return View(dataset, "fold0", "retrain tiny")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_crosses_as_it_is(name: str) -> None:
    recipe = load_recipe(name)
    streams: StreamInputs = {
        key: StreamInput(key, f"of {key}", stream, FeatureSetRef(key, "k", stream.features, "c"))
        for key, stream in recipe.streams.items()
    }
    job = FusionJob("fused", neural_choice(recipe.fusion), (REF,), recipe.pseudo_labels)
    parameters = {"view": a_view(), "inputs": streams, "job": job}
    text = parameters_to_text(fuse_view.fn, parameters)
    back = parameters_from_text(fuse_view.fn, text)
    assert back == parameters
    assert list(back["inputs"]) == list(streams)
    assert parameters_to_text(fuse_view.fn, back) == text


def test_a_result_that_holds_references_comes_back() -> None:
    fused = FusedView("fold0", "fused", REF, replace_key(REF), 0.5, {"m": REF}, found=True)
    back = outcome_from_text(fuse_view.fn, value_to_text(fuse_view.fn, fused))
    assert (back, back.found) == (fused, True)


def replace_key(ref: ArtifactRef) -> ArtifactRef:
    return ref.model_copy(update={"key": "y"})


def test_what_is_not_declared_is_refused_before_it_is_sent() -> None:
    with pytest.raises(NotAReference, match="declared"):
        parameters_to_text(takes, {"pairs": {"a": object()}, "where": Path("x")})
    with pytest.raises(NotAReference, match="declared"):
        value_to_text(takes, FusionConfig())
    with pytest.raises((NotAReference, TypeError)):
        parameters_to_text(takes, {"pairs": {}, "where": Path("x"), "more": 1})


@pytest.mark.parametrize("form", ["latin", "base64", "wrapped", "prefect"])
def test_a_pickle_is_refused_and_nothing_runs(form: str, tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    data = pickle.dumps(Attack(canary))
    encoded = base64.b64encode(data).decode()
    text = {
        "latin": data.decode("latin-1"),
        "base64": encoded,
        "wrapped": json.dumps({"value": encoded}),
        "prefect": json.dumps({"metadata": {"serializer": {"type": "pickle"}}, "result": encoded}),
    }[form]
    with pytest.raises(NotAReference):
        outcome_from_text(takes, text)
    with pytest.raises(NotAReference):
        parameters_from_text(takes, text)
    outcome, ended = run_taken({"takes": takes}, TakenTask("1", "takes", text, "w", 1, "mer-cpu"))
    with pytest.raises(NotAReference, match=r"nothing of it is used|expected JSON"):
        outcome_from_text(takes, outcome)
    assert ended == "failed (NotAReference)"
    assert not canary.exists()


def test_only_known_tasks_run() -> None:
    outcome, _ = run_taken({}, TakenTask("1", "os.system", '{"command": "true"}', "w", 1, "mer-cpu"))
    with pytest.raises(NotAReference, match="one version"):
        outcome_from_text(takes, outcome)


def caused_by(error: Exception) -> Exception:
    outer = RuntimeError("outer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        CorpusError("no clips"),
        LookupError("no model"),
        MemoryError("too large"),
        LeaseHeld("retrain/m", "host:1", 12.0),
        StoreFull("/x", 7),
        FileNotFoundError(2, "No such file or directory", "/x"),
        MediaError(QuarantineReason.TRUNCATED, "cut", transient=True),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_as_what_they_were(error: Exception) -> None:
    for sent in (error, caused_by(error)):
        with pytest.raises(type(error)) as caught:
            outcome_from_text(takes, error_to_text(sent))
        assert str(caught.value) == str(error)
        assert vars(caught.value).items() >= vars(error).items()
        assert "on the worker" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("odd"), UnicodeDecodeError("utf-8", b"x", 0, 1, "r")]
)
def test_bugs_come_back_as_bugs(error: Exception) -> None:
    with pytest.raises(WorkerError, match=type(error).__name__):
        outcome_from_text(takes, error_to_text(error))


def test_a_class_that_is_no_error_of_ours_is_not_made() -> None:
    for name in ("subprocess.Popen", "builtins.SystemExit", "mer.errors.QuarantineReason"):
        with pytest.raises(WorkerError, match="x"):
            outcome_from_text(takes, json.dumps({"error": name, "message": "x", "facts": {"__class__": "y"}}))


def test_every_task_declares_what_it_takes_and_gives() -> None:
    submitted = {
        "probe_shard",
        "fetch_objects",
        "extract_shard",
        "extract_span",
        "fuse_view",
        "adapt_view",
        "select_view",
    }
    served = {task.fn.__name__: task.fn for task in all_tasks()}
    for name in submitted:
        with pytest.raises(NotAReference, match=r"declared|JSON"):
            parameters_from_text(served[name], '{"nothing of this name": 1}')
    assert replace(StageResult(REF, True, 1.0), ran=False).ran is False


def test_a_look_for_drift_crosses_the_border_whole() -> None:
    (function,) = (task.fn for task in all_tasks() if task.fn.__name__ == "drift_of")
    request = DriftRequest("demo", 2, paths=("a",), config=DriftConfig(), policy="start")
    assert parameters_from_text(function, parameters_to_text(function, {"request": request})) == {
        "request": request
    }
    found = DriftFound(
        "demo", 2, 40, "drift", "start", "why", ({"family": "quality", "effect": 0.4, "alarm": True},),
        tracked={"sad": (0.5, 0.6, 0.1)}, batches=1, notes=("n",), unusable=(("a.wav", "empty"),), ref=REF,
    )  # fmt: skip
    assert outcome_from_text(function, value_to_text(function, found)) == found
