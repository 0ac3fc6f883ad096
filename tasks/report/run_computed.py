"""What only the run can compute for its report: paired differences of all systems, what streams are worth, maps of clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infra.artifacts import ArtifactRef
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_partitions
from tasks.data.features import feature_table
from tasks.data.streams import level_tables, view_streams
from tasks.learn.ensemble import FITTED
from tasks.learn.fusion import load_posteriors
from tasks.report.run_copied import fitted_system
from tasks.report.run_results import (
    DIFFERENCES,
    MAPS,
    P_HOLM,
    P_VALUE,
    WEIGHTS,
    RunResults,
    served_choice,
)
from tasks.stage.workspace import Workspace

if TYPE_CHECKING:
    from mer.evaluation.paired_test import PairedTest
    from mer.examples import Examples
    from mer.posteriors import Posteriors
    from mer.stream_tables import Level

EXPLAINED_CLIPS, MAPPED_CLIPS = 400, 600
"""Most clips that are explained, and on a map: drawn by a seed where there are more."""
_SEED = 0


def computed_figures(space: Workspace, results: RunResults, level: Level) -> dict[str, Any]:
    """File -> its values.

    Args:
        space: where the run's artifacts are.
        results: of the run.
        level: of the tables whose clips are put on a map.
    """
    examples, partitions = load_partitions(space, results.view.dataset)
    tested = {view: partitions[view].test & (examples.emotion >= 0) for view in results.inputs}
    out_of_fold = {
        system: _out_of_fold(space, results, system, examples, tested) for system in results.systems
    }
    return {
        DIFFERENCES: _differences(results, examples, out_of_fold),
        WEIGHTS: _weights(space, results, examples, tested),
        MAPS: _maps(space, results, examples, out_of_fold[results.served], level),
    }


def _out_of_fold(
    space: Workspace,
    results: RunResults,
    system: str,
    examples: Examples,
    tested: dict[str, NDArray[np.bool_]],
) -> Posteriors:
    from mer.posteriors import Posteriors

    return Posteriors.joined(
        [
            load_posteriors(space, item.posteriors).restricted(_names(examples, tested[view]))
            for view, item in results.named(system).items()
            if view != FINAL_VIEW
        ]
    )


def _differences(
    results: RunResults, examples: Examples, out_of_fold: dict[str, Posteriors]
) -> list[dict[str, Any]]:
    """The served system minus every other one, paired clip by clip; p-values of weighted F1, as they are and by Holm's rule."""
    from mer.evaluation.paired_test import holm
    from mer.evaluation.report import difference_of

    served, classes = results.served, len(results.view.dataset.emotions)
    others = [name for name in out_of_fold if name != served]
    tests = [_tested(examples, out_of_fold[served], out_of_fold[name], classes) for name in others]
    adjusted = holm([test.p_value for test in tests])
    return [
        difference_of(examples, (served, out_of_fold[served]), (name, out_of_fold[name]), classes)
        | {P_VALUE: test.p_value, P_HOLM: corrected, "exchanges": test.exchanges, "exchanged": test.groups}
        for name, test, corrected in zip(others, tests, adjusted, strict=True)
    ]


def _tested(examples: Examples, first: Posteriors, second: Posteriors, classes: int) -> PairedTest:
    from mer.evaluation.paired_test import paired_randomisation

    position = {name: row for row, name in enumerate(examples.clip_ids)}
    rows = [position[name] for name in first.clip_ids]
    return paired_randomisation(
        examples.emotion[rows],
        first.predicted,
        second.restricted(first.clip_ids).predicted,
        [examples.speaker[row] for row in rows],
        classes,
    )


def _weights(
    space: Workspace, results: RunResults, examples: Examples, tested: dict[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    """Mean weight of each stream, and what the answer loses without it, on clips that each fold's model never saw."""
    choice = served_choice(results.recipe)
    models = results.named(results.served)
    if choice is None:
        return {"members": _member_weights(space, models[FINAL_VIEW].model)}
    from mer.systems.explanation import explain

    folds = [view for view in models if view != FINAL_VIEW]
    share = max(1, EXPLAINED_CLIPS // max(1, len(folds)))
    weights: list[dict[str, float]] = []
    lost: list[dict[str, float]] = []
    truth: list[int] = []
    for view in folds:
        system = fitted_system(space, models[view].model)
        names = _drawn(_names(examples, tested[view]), share)
        if system is None or not names:
            continue
        inputs = {name: results.inputs[view][name] for name in models[view].streams}
        explained = explain(system, level_tables(space, inputs, choice, names))
        weights += _rows(explained.stream_weights.streams, explained.stream_weights.values)
        if explained.confidence_lost is not None:
            lost += _rows(explained.confidence_lost.streams, explained.confidence_lost.values)
        position = {name: row for row, name in enumerate(examples.clip_ids)}
        truth += [int(examples.emotion[position[name]]) for name in explained.clip_ids]
    streams = list(dict.fromkeys(name for row in weights for name in row))
    by_class = {
        emotion: _means([row for row, at in zip(lost, truth, strict=False) if at == number], streams)
        for number, emotion in enumerate(results.view.dataset.emotions)
        if lost and number in truth
    }
    return {
        "clips": len(weights),
        "weight": _means(weights, streams),
        "lost": _means(lost, streams),
        "lost_by_class": by_class,
    }


def _member_weights(space: Workspace, combination: ArtifactRef) -> dict[str, float]:
    rule = json.loads(space.artifacts.read(combination, FITTED))
    return {
        str(name): float(weight)
        for name, weight in zip(rule.get("members", ()), rule.get("weights", ()), strict=False)
    }


def _maps(
    space: Workspace, results: RunResults, examples: Examples, answers: Posteriors, level: Level
) -> dict[str, Any]:
    """Clips in planes: by what the streams read of them, by aligned streams, and by the answers out of fold."""
    from mer.domain.training_domain import clip_vectors

    final = results.inputs[FINAL_VIEW]
    names = _drawn(sorted(answers.clip_ids), MAPPED_CLIPS)
    read = {name: final[name] for name in results.recipe.reads if name in final}
    tables = view_streams(space, read, level, names)
    spaces = {"what is read": np.concatenate([clip_vectors(table) for table in tables.values()], axis=1)}
    for name, item in final.items():
        if item.learnt.aligned is not None:
            spaces[f"{name}, aligned"] = clip_vectors(feature_table(space, item.learnt.aligned, names))
    logits = answers.restricted(names).logits.astype(np.float64)
    spaces["answers out of fold"] = logits - logits.mean(axis=1, keepdims=True)
    position = {name: row for row, name in enumerate(examples.clip_ids)}
    return {
        "clips": names,
        "emotion": [int(examples.emotion[position[name]]) for name in names],
        "spaces": {title: _plane(values) for title, values in spaces.items()},
    }


def _plane(values: NDArray[np.float64]) -> dict[str, Any]:
    from mer.report.plane import principal_plane

    places, shares = principal_plane(np.nan_to_num(values))
    return {
        "x": [round(float(value), 3) for value in places[:, 0]],
        "y": [round(float(value), 3) for value in places[:, 1]],
        "shares": [round(share, 4) for share in shares],
    }


def _drawn(names: Sequence[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    chosen = np.random.default_rng(_SEED).choice(len(names), most, replace=False)
    return [names[row] for row in sorted(chosen.tolist())]


def _names(examples: Examples, rows: NDArray[np.bool_]) -> list[str]:
    return [examples.clip_ids[row] for row in np.flatnonzero(rows)]


def _rows(streams: Sequence[str], values: NDArray[np.float64]) -> list[dict[str, float]]:
    return [dict(zip(streams, map(float, row), strict=True)) for row in values]


def _means(rows: Sequence[dict[str, float]], streams: Sequence[str]) -> dict[str, float]:
    """Mean over clips of each stream; a clip whose model does not read a stream counts 0."""
    if not rows:
        return {}
    return {name: round(float(np.mean([row.get(name, 0.0) for row in rows])), 6) for name in streams}
