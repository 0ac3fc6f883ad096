"""The one contract of systems, over every built-in fusion model, at both levels, and an ensemble of members of both."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fit_data import CLASSES, CLIPS, WIDTHS, fit_data, with_soft_targets
from means_kind import NOTHING

from mer.ensemble.system import EnsembleSystem
from mer.errors import ConfigError, WeightsError
from mer.fusion.fitted import save_fusion
from mer.fusion.registry import MODELS
from mer.fusion.system import NeuralSystem
from mer.implementations import Implementations
from mer.stream_tables import FeatureTable, LevelTables, StreamTable
from mer.systems import kinds
from mer.systems.abilities import Abilities, require_abilities
from mer.systems.explanation import explain
from mer.systems.fitted import FittedSystem
from mer.systems.kinds import FitRun, fit_system, load_system, system_kind
from mer.training.checkpoint import Checkpoint

SMALL: dict[str, Any] = {"hidden": 16, "epochs": 30, "learning_rate": 1e-2, "averaging": 0.0, "dropout": 0.1}
ENSEMBLE: dict[str, Any] = {
    "members": {
        "vectors": {"options": {**SMALL, "model": "concat"}},
        "S2/frames: ..": {"options": {**SMALL, "model": "afg_hierarchical", "level": "frames"}},
    },
    "combination": {"calibrate_valence": True},
}
SYSTEMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{model: ("neural", {**SMALL, "model": model}) for model in MODELS},
    **{f"{m} by frames": ("neural", {**SMALL, "model": m, "level": "frames"}) for m in MODELS},
    "frames and statistics": ("neural", {**SMALL, "model": "early", "level": "frames", "frame_statistics": True}),
    "kernel": ("kernel", {}),
    "linear": ("linear", {"inverse_penalty": 0.1}),
    "searched": ("searched", {"inverse_penalties": [0.01, 1.0]}),
    "kernel and network": ("ensemble", {"members": {"a": {"kind": "kernel"}, "b": {"options": SMALL}}}),
    "ensemble": ("ensemble", ENSEMBLE),
    "stacked ensemble": ("ensemble", {**ENSEMBLE, "combination": {"weighting": "stacked", "pruning": "greedy"}}),
}  # fmt: skip
FITTED: dict[str, FittedSystem] = {}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


QUICK = {
    *MODELS,
    "kernel",
    "linear",
    "searched",
    "early by frames",
    "frames and statistics",
    "ensemble",
    "stacked ensemble",
}


@pytest.fixture(params=[pytest.param(key, marks=() if key in QUICK else pytest.mark.slow) for key in SYSTEMS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def system(name: str) -> FittedSystem:
    if name not in FITTED:
        FITTED[name] = fit_system(SYSTEMS[name][0], fit_data(), SYSTEMS[name][1])
    return FITTED[name]


def holes(tables: LevelTables) -> np.ndarray:
    return ~tables["utterance"]["visual"].present


def test_answers_are_distributions_and_weights_are_0_where_a_stream_is_missing(system: FittedSystem) -> None:
    data = fit_data()
    answers = system.answer(data.tables)
    probabilities = answers.posteriors.probabilities()
    assert answers.posteriors.clip_ids == data.examples.clip_ids and system.classes == CLASSES
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-9)
    assert (answers.posteriors.predicted == data.examples.emotion).mean() > 0.5, "it has learnt nothing"
    assert np.isfinite(answers.posteriors.valence).all()
    weights = answers.stream_weights
    assert set(weights.streams) >= set(system.streams) == set(WIDTHS)
    assert weights.values.shape == (CLIPS, len(weights.streams)) and np.isfinite(weights.values).all()
    visual = [column for column, stream in enumerate(weights.streams) if stream.startswith("visual")]
    missing = holes(data.tables)
    assert (weights.values[missing][:, visual] == 0).all() and weights.values[~missing][:, visual].any()


def test_a_missing_stream_changes_nothing_whatever_it_holds(system: FittedSystem) -> None:
    data = fit_data()
    missing = holes(data.tables)

    def spoilt(table: StreamTable) -> StreamTable:
        values = table.values.copy()
        rows = missing if isinstance(table, FeatureTable) else missing.repeat(np.diff(table.offsets))
        values[rows] = 1e6
        return replace(table, values=values)

    tables: LevelTables = {
        level: {name: spoilt(table) if name == "visual" else table for name, table in streams.items()}
        for level, streams in data.tables.items()
    }
    before, after = (system.posteriors(read) for read in (data.tables, tables))
    np.testing.assert_array_equal(before.logits, after.logits)
    alone = {level: {"acoustic": streams["acoustic"]} for level, streams in data.tables.items()}
    heard = system.posteriors(alone).logits
    np.testing.assert_allclose(heard[missing], before.logits[missing], rtol=1e-5, atol=1e-5)
    assert not np.allclose(heard[~missing], before.logits[~missing], atol=1e-4)


def test_it_is_saved_and_loaded_bit_for_bit(system: FittedSystem, tmp_path: Path) -> None:
    data = fit_data()
    system.save(tmp_path / "a")
    loaded = load_system(tmp_path / "a")
    loaded.save(tmp_path / "b")
    before, after = system.answer(data.tables), loaded.answer(data.tables)
    np.testing.assert_array_equal(before.posteriors.logits, after.posteriors.logits)
    np.testing.assert_array_equal(before.posteriors.valence, after.posteriors.valence)
    np.testing.assert_array_equal(before.stream_weights.values, after.stream_weights.values)
    assert (loaded.kind, loaded.classes, loaded.streams, loaded.levels, loaded.abilities) == (
        system.kind, system.classes, system.streams, system.levels, system.abilities
    )  # fmt: skip
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert loaded.figures == system.figures and list(loaded.history) == list(system.history)
    if isinstance(system, NeuralSystem):
        best = system.history[round(system.figures["best_epoch"]) - 1]
        assert best["validation_waf"] == system.figures["validation_waf"]


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_soft_targets_are_learnt(name: str) -> None:
    """Clips of class 0 that are said to be of class 1: answers follow the targets, not the labels."""
    kind, options = SYSTEMS[name]
    data = replace(
        fit_data(), validation=np.zeros(CLIPS, dtype=bool)
    )  # labels of validation clips choose the epoch
    moved = fit_system(kind, with_soft_targets(data, of_classes_0_and_1=1.0), options)
    clips = data.train & (data.examples.emotion == 0)
    probabilities = moved.posteriors(data.tables).probabilities()[clips].mean(axis=0)
    assert probabilities[1] > probabilities[0] + 0.1


def test_it_starts_warm_and_is_resumed(name: str, system: FittedSystem, tmp_path: Path) -> None:
    """A start changes the fit; a checkpoint of a finished fit ends it where it was; progress never falls."""
    kind, options = SYSTEMS[name]
    data, shares = fit_data(), []
    if not system.abilities.warm_start:
        with pytest.raises(ConfigError, match=r"found a fitted system of kind .* to start from"):
            fit_system(kind, data, options, FitRun(start=system))
        again = fit_system(
            kind, data, options, FitRun(progress=lambda done, total: shares.append(done / total))
        )
        np.testing.assert_array_equal(
            again.posteriors(data.tables).logits, system.posteriors(data.tables).logits
        )
        assert (shares == sorted(shares) and shares[-1] == 1) or name == "kernel and network"
        return
    run = FitRun(
        checkpoint=Checkpoint(tmp_path / "run.safetensors"),
        progress=lambda done, total: shares.append(done / total),
        start=system,
    )
    if isinstance(system, EnsembleSystem) and len(system.members) < len(options["members"]):
        with pytest.raises(ConfigError, match="expected a start of its kind with the members"):
            fit_system(kind, data, options, run)  # pruned ones have nothing to start from
        return
    warm = fit_system(kind, data, options, run).posteriors(data.tables)
    assert shares == sorted(shares) and shares[-1] <= 1
    again = fit_system(kind, data, options, replace(run, progress=None)).posteriors(data.tables)
    np.testing.assert_array_equal(warm.logits, again.logits)
    assert not np.allclose(warm.logits, system.posteriors(data.tables).logits, atol=1e-4)


def test_explanations_say_what_each_stream_is_worth(system: FittedSystem) -> None:
    data = fit_data()
    explained = explain(system, data.tables, temperature=1.5)
    probabilities = system.posteriors(data.tables).probabilities(1.5)
    np.testing.assert_allclose(explained.confidence, probabilities.max(axis=1))
    lost = explained.confidence_lost
    assert lost is not None and lost.streams == system.streams and lost.values.shape == (CLIPS, 2)
    visual, missing = lost.streams.index("visual"), holes(data.tables)
    assert (lost.values[missing, visual] == 0).all() and (lost.values[~missing, visual] != 0).any()
    alone = {level: {"acoustic": streams["acoustic"]} for level, streams in data.tables.items()}
    without = system.posteriors(alone).probabilities(1.5)[np.arange(CLIPS), explained.answer]
    np.testing.assert_allclose(lost.values[:, visual], (explained.confidence - without) * ~missing, atol=1e-6)


@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=() if model == "concat" else pytest.mark.slow) for model in MODELS]
)
def test_what_can_be_exported_is_one_graph(model: str) -> None:
    system = fit_system("neural", fit_data(), {**SMALL, "epochs": 1, "model": model})
    assert isinstance(system, NeuralSystem) and system.abilities.export
    network = system.fitted.model()
    inputs = {name: torch.randn(5, width) for name, width in WIDTHS.items()}
    present = {name: torch.tensor([True, True, False, True, True]) for name in WIDTHS}
    graph = torch.export.export(network, (inputs, present)).module()
    torch.testing.assert_close(graph(inputs, present).emotion_logits, network(inputs, present).emotion_logits)


def test_folders_of_earlier_versions_have_no_record(tmp_path: Path) -> None:
    system = fit_system("neural", fit_data(), SMALL)
    assert isinstance(system, NeuralSystem)
    tmp_path.joinpath("old").mkdir()
    save_fusion(tmp_path / "old", system.fitted)
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["fusion.safetensors"]
    data = fit_data()
    loaded = load_system(tmp_path / "old")
    np.testing.assert_array_equal(
        loaded.posteriors(data.tables).logits, system.posteriors(data.tables).logits
    )


def test_what_is_no_saved_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a saved system \(system.json\), found none"):
        load_system(tmp_path)
    record = tmp_path / "system.json"
    for content, message in (
        (
            '{"kind": "quantum"}',
            "expected a system of kind neural, ensemble, kernel, linear, searched, found 'quantum'",
        ),
        ('{"kind": 3}', r'expected \{"kind": NAME\}'),
        ("[", "expected JSON"),
        ('{"kind": "ensemble"}', "expected a fitted combination, found none"),
        ('{"kind": "neural"}', "expected a fusion model, found none"),
        ('{"kind": "kernel"}', "expected fitted machines"),
    ):
        record.write_text(content, encoding="utf-8")
        with pytest.raises(WeightsError, match=message):
            load_system(tmp_path)


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of `means_kind`, among the others."""
    monkeypatch.setattr(kinds, "KINDS", Implementations({**kinds.KINDS, "means": "means_kind:MeansKind"}))
    return "means"


def test_a_kind_from_outside_is_fitted_saved_and_combined(means: str, tmp_path: Path) -> None:
    data = fit_data(missing=False)
    options = {
        "members": {"a": {"kind": means}, "b": {"options": SMALL}},
        "combination": {"weighting": "uniform"},
    }
    system = fit_system("ensemble", data, options)
    assert system.abilities == NOTHING and system.levels == ("utterance",)
    answers = system.answer(data.tables)
    assert (answers.posteriors.predicted == data.examples.emotion).mean() > 0.6
    system.save(tmp_path)
    np.testing.assert_array_equal(
        load_system(tmp_path).posteriors(data.tables).logits, answers.posteriors.logits
    )
    assert explain(system, data.tables).confidence_lost is None


def test_what_a_kind_cannot_do_is_refused_in_one_message(means: str) -> None:
    whole, data = fit_data(missing=False), fit_data()
    system = fit_system(means, whole, {})
    with pytest.raises(ConfigError) as refused:
        fit_system(means, with_soft_targets(data), {}, FitRun(start=system))
    message = str(refused.value)
    for said in (
        "system of kind 'means'",
        "found a fitted system of kind 'means' to start from: leave out the start",
        "found targets that are distributions: give hard labels only",
        "found 30 clips without visual: leave out clips that lack a stream",
        "choose a kind with the ability `soft_targets`",
    ):
        assert said in message
    with pytest.raises(
        ConfigError, match="expected nothing that needs missing streams, found 30 clips without visual"
    ):
        system.posteriors(data.tables)
    one = {"utterance": {"acoustic": data.tables["utterance"]["acoustic"]}}
    with pytest.raises(ConfigError, match="found no table of visual"):
        system.posteriors(one)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs missing streams"):
        fit_system("ensemble", data, {"members": {"a": {"kind": means}}})


def test_an_ensemble_cannot_be_exported(tmp_path: Path) -> None:
    kind = system_kind("ensemble")
    options = kind.options_type.model_validate(ENSEMBLE)
    with pytest.raises(ConfigError, match="expected nothing that needs export, found a request for ONNX"):
        require_abilities("ensemble", kind.abilities(options), {"export": "a request for ONNX"})
    able = Abilities(warm_start=True, soft_targets=True, missing_streams=True, export=True)
    require_abilities("neural", able, {"export": "a request for ONNX"})


def test_wrong_arguments_say_what_was_expected() -> None:
    data = fit_data()
    with pytest.raises(
        ConfigError, match="expected a kind of neural, ensemble, kernel, linear, searched, found 'quantum'"
    ):
        fit_system("quantum", data, {})
    with pytest.raises(ConfigError, match="unknown fusion model 'none'"):
        fit_system("neural", data, {"model": "none"})
    with pytest.raises(ConfigError, match="at the levels frames, found none at frames"):
        tables: LevelTables = {"utterance": data.tables["utterance"]}
        fit_system("neural", replace(data, tables=tables), {"level": "frames"})
    with pytest.raises(ConfigError, match="found 60 clips in both"):
        replace(data, validation=data.train)
    with pytest.raises(ConfigError, match="expected masks of 90 clips"):
        replace(data, validation=data.train[:3])
    rows = np.arange(CLIPS)[::-1]
    with pytest.raises(ConfigError, match="clips of the examples in their order"):
        fit_system("neural", replace(data, examples=data.examples.subset(rows)), {})
    ensemble, neural = (
        fit_system(kind, data, SYSTEMS[n][1]) for kind, n in (("ensemble", "ensemble"), ("neural", "late"))
    )
    with pytest.raises(
        ConfigError, match="expected a system of its kind to start from, found one of kind 'ensemble'"
    ):
        fit_system("neural", data, SMALL, FitRun(start=ensemble))
    with pytest.raises(ConfigError, match="expected a start of its kind with the members"):
        fit_system("ensemble", data, ENSEMBLE, FitRun(start=neural))
