"""Joint decoding of emotion and valence against separate heads, and the ensemble of three structures against the best of them.

    python -m benchmarks.joint_decoding [--quick] [--corpus PATH] [--recipe joint_decoding] [--seeds 5] [--json PATH]

Features come from the stages of the flow `train` (those already in MER_HOME are found again); then, for every seed and outer
fold, each member of the recipe's ensemble is trained with joint decoding and uncertainty weighting (`joint`) and with separate
heads at 1:1 (`separate`). Scores are out of fold; every choice (epoch, temperatures, the best member) is made on validation
speakers of the training folds. The demo corpus is used without `--corpus`; `--quick` takes fewer clips, one seed and a recipe
without alignment.

JSON keys. `joint_combined`, `separate_combined` (WAF - .25 MSE, mean over seeds and structures); `combined_gain` with
`combined_gain_low`, `_high` (95 %, paired, seeds and speakers resampled) and `_seeds_low`, `_seeds_high` (seeds alone);
`joint_valence_mse`, `separate_valence_mse`, `class_mean_mse` (sum_c p_c m_c by the same joint models' posteriors, m_c the means
of training clips), `class_mean_separate_mse` (by those of the separate models), `valence_gain` (class_mean_mse - joint) with its
intervals; `ensemble_waf`, `best_member_waf` (per view the member with the best validation score), `ensemble_combined`,
`best_member_combined`, `ensemble_gain` (combined) and `ensemble_waf_gain` with their intervals; `<member>_joint_combined`,
`<member>_separate_combined`; `clips`, `seeds`, `models_trained`. `--ablation` adds `ablation_<decoding>_<balance>_combined`,
`_waf` and `_mse` of the recipe's own structure for {separate, joint} x {fixed, uncertainty, gradnorm}.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.ensemble.posteriors import Posteriors
    from mer.fusion.config import FusionConfig
    from mer.recipes import Recipe
    from mer.training.examples import Examples
    from tasks.references import DatasetRef, FeatureSetRef, ViewSpaces

QUICK = Path(__file__).with_name("joint_decoding_quick.yaml")
SEPARATE = {"valence_decoding": "separate", "task_balance": "fixed"}
RESAMPLES = 2000


@dataclass
class Answers:
    """Out-of-fold posteriors by system and seed, and the class-mean valence that goes with some of them."""

    examples: Examples
    systems: dict[str, dict[int, list[Posteriors]]] = field(default_factory=dict)
    models: int = 0

    def add(self, system: str, seed: int, posteriors: Posteriors) -> None:
        """One view's answers."""
        self.systems.setdefault(system, {}).setdefault(seed, []).append(posteriors)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", default="", help="corpus folder; none: the demo corpus")
    options.add_argument("--recipe", default="", help="recipe with an ensemble, or its YAML file")
    options.add_argument("--clips", type=int, default=0, help="clips of the demo corpus")
    options.add_argument("--seeds", type=int, default=0, help="seeds of every model")
    options.add_argument(
        "--level", choices=["utterance", "frames"], default="", help="overrides the recipe's"
    )
    options.add_argument("--ablation", action="store_true", help="also take decoding and balance apart")
    chosen = options.parse_args()
    clips, seeds = chosen.clips or (90 if chosen.quick else 200), chosen.seeds or (1 if chosen.quick else 5)

    from flows.servers import ensure_servers

    ensure_servers()
    import torch

    from flows.options import DemoOptions
    from mer.recipes import load_recipe

    torch.set_num_threads(int(os.environ.get("MER_COMPUTE_THREADS", "1")))
    name = chosen.recipe or (str(QUICK) if chosen.quick else "joint_decoding")
    recipe = load_recipe(name)
    if chosen.level:
        fusion = recipe.fusion.model_copy(update={"level": chosen.level})
        recipe = recipe.model_copy(update={"fusion": fusion})
    dataset, features, spaces = gathered(
        recipe, DemoOptions(recipe=name, corpus=chosen.corpus, demo_clips=clips)
    )
    answers = train_all(dataset, recipe, features, spaces, range(1, seeds + 1), ablation=chosen.ablation)
    figures = figures_of(answers, tuple(recipe.member_fusions), seeds)
    for key, value in figures.items():
        print(f"{key:32s} {value:.4f}" if isinstance(value, float) else f"{key:32s} {value}")
    write_figures(chosen.json, figures)


def gathered(
    recipe: Recipe, options: Any
) -> tuple[DatasetRef, dict[str, FeatureSetRef], dict[str, ViewSpaces]]:
    """The stages before the fusion, as the flow `train` runs them."""
    from prefect import flow

    from flows.features import extract_frames, extract_streams
    from flows.ingest import ingest_corpus
    from flows.pretrain import pretrain_views
    from flows.runners import configured_task_runner

    @flow(name="joint decoding benchmark", task_runner=configured_task_runner())
    def stages() -> tuple[DatasetRef, dict[str, FeatureSetRef], dict[str, ViewSpaces]]:
        dataset, _ = ingest_corpus(recipe, options)
        features = extract_streams(dataset, recipe)
        spaces = pretrain_views(dataset, recipe, features, parent_run=None)
        return dataset, extract_frames(dataset, recipe, features, spaces), spaces

    return stages()


def train_all(
    dataset: DatasetRef,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: Mapping[str, ViewSpaces],
    seeds: Sequence[int],
    *,
    ablation: bool,
) -> Answers:
    """Every system on every fold and seed."""
    import numpy as np

    from mer.fusion.fit import fit_fusion, predict_fusion
    from mer.training.partition import FINAL_VIEW
    from tasks.dataset import load_partitions
    from tasks.streams import view_streams
    from tasks.workspace import workspace

    space = workspace()
    examples, partitions = load_partitions(space, dataset, recipe)
    answers = Answers(examples)
    for view, partition in partitions.items():
        if view == FINAL_VIEW:
            continue
        keep = np.flatnonzero(partition.train | partition.validation | partition.test)
        ids = [examples.clip_ids[i] for i in keep]
        # no model and no choice sees a test label: the view blanks them
        own = partition.visible(examples).subset(keep)
        train, held = partition.train[keep], partition.validation[keep]
        validation = [ids[i] for i in np.flatnonzero(held)]
        test = [examples.clip_ids[i] for i in np.flatnonzero(partition.test)]
        tables = view_streams(space, recipe, features, spaces[view], ids)

        def fitted(config: FusionConfig) -> Posteriors:
            model = fit_fusion(tables, own, train, held, recipe.emotions, config)  # noqa: B023 (called at once)
            return predict_fusion(model, tables)  # noqa: B023

        for seed in seeds:
            members: dict[str, Posteriors] = {}
            for name, config in recipe.member_fusions.items():
                config = config.model_copy(update={"seed": seed})
                members[name] = fitted(config)
                apart = fitted(config.model_copy(update=SEPARATE))
                answers.models += 2
                answers.add(f"joint/{name}", seed, members[name].restricted(test))
                answers.add(f"separate/{name}", seed, apart.restricted(test))
                for kind, posteriors in (("joint", members[name]), ("separate", apart)):
                    plain = class_mean_decoded(posteriors, own, train)
                    answers.add(f"class mean {kind}/{name}", seed, plain.restricted(test))
            if ablation:
                for decoding in ("separate", "joint"):
                    for balance in ("fixed", "uncertainty", "gradnorm"):
                        update = {"seed": seed, "valence_decoding": decoding, "task_balance": balance}
                        found = fitted(recipe.fusion.model_copy(update=update))
                        answers.models += 1
                        answers.add(f"ablation {decoding} {balance}", seed, found.restricted(test))
            for system, posteriors in combined(members, own, validation, recipe).items():
                answers.add(system, seed, posteriors.restricted(test))
    return answers


def class_mean_decoded(posteriors: Posteriors, own: Examples, train: NDArray[np.bool_]) -> Posteriors:
    """The same posteriors with valence sum_c p_c m_c, m_c the means of the training clips."""
    import numpy as np

    from mer.ensemble.posteriors import Posteriors
    from mer.fusion.task_balance import class_means

    means = class_means(own.emotion[train], own.valence[train], posteriors.logits.shape[1]).numpy()
    valence = (posteriors.probabilities() @ means).astype(np.float32)
    return Posteriors(posteriors.clip_ids, posteriors.logits, valence)


def combined(
    members: Mapping[str, Posteriors], own: Examples, validation: Sequence[str], recipe: Recipe
) -> dict[str, Posteriors]:
    """The ensemble, and the member with the best validation score, both settled on validation clips."""
    import numpy as np

    from mer.ensemble.ensemble import fit_ensemble

    assert recipe.ensemble is not None
    held = {name: member.restricted(validation) for name, member in members.items()}
    position = {clip_id: row for row, clip_id in enumerate(own.clip_ids)}
    rows = np.array([position[clip_id] for clip_id in validation], dtype=np.int64)
    ensemble = fit_ensemble(held, own.emotion[rows], recipe.ensemble)
    scores = {
        name: score_of(member, own.emotion[rows], own.valence[rows])["combined"]
        for name, member in held.items()
    }
    return {
        "ensemble": ensemble.combine(members),
        "best member": members[max(scores, key=scores.__getitem__)],
    }


def score_of(
    posteriors: Posteriors, emotion: NDArray[np.int64], valence: NDArray[np.floating]
) -> dict[str, float]:
    """WAF, squared error of valence, and WAF - .25 MSE."""
    from mer.evaluation.metrics import combined_score, confusion, valence_mse, waf

    weighted = float(waf(confusion(emotion, posteriors.predicted, posteriors.logits.shape[1])))
    error = valence_mse(valence, posteriors.valence)
    return {"waf": weighted, "mse": error, "combined": combined_score(weighted, error)}


@dataclass(frozen=True)
class Resamples:
    """Scores of one system: of every seed, and of every seed in every resample of speakers."""

    point: dict[str, NDArray[np.float64]]
    """Score -> (S,)."""
    samples: dict[str, NDArray[np.float64]]
    """Score -> (B, S)."""


def resampled(answers: Answers, system: str) -> Resamples:
    """Scores of a system under resampling of speakers; resample b draws the same speakers for every system."""
    import numpy as np

    from mer.ensemble.posteriors import Posteriors
    from mer.evaluation.intervals import (
        group_confusions,
        resample_weights,
        resampled_scores,
        resampling_groups,
    )
    from mer.evaluation.metrics import VALENCE_PENALTY, waf

    order: tuple[str, ...] | None = None
    point: dict[str, list[float]] = {"waf": [], "mse": [], "combined": []}
    samples: dict[str, list[NDArray[np.float64]]] = {"waf": [], "mse": [], "combined": []}
    position = {clip_id: row for row, clip_id in enumerate(answers.examples.clip_ids)}
    for parts in answers.systems[system].values():
        joined = Posteriors.joined(parts)
        order = order or tuple(sorted(joined.clip_ids))
        posteriors = joined.restricted(order)
        rows = np.array([position[clip_id] for clip_id in order], dtype=np.int64)
        emotion, valence = answers.examples.emotion[rows], answers.examples.valence[rows]
        for name, value in score_of(posteriors, emotion, valence).items():
            point[name].append(value)
        groups = resampling_groups([answers.examples.speaker[i] for i in rows], len(rows))
        counts = group_confusions(emotion, posteriors.predicted, groups, posteriors.logits.shape[1])
        weights = resample_weights(len(counts), RESAMPLES, seed=0)
        squares = (posteriors.valence.astype(np.float64) - valence) ** 2
        known = ~np.isnan(squares)
        total = np.bincount(groups, np.where(known, squares, 0.0), minlength=len(counts))
        number = np.bincount(groups, known, minlength=len(counts))
        drawn = resampled_scores(counts, weights, waf)
        error = (weights @ total) / (weights @ number)
        samples["waf"].append(drawn)
        samples["mse"].append(error)
        samples["combined"].append(drawn - VALENCE_PENALTY * error)
    return Resamples(
        {name: np.array(values) for name, values in point.items()},
        {name: np.stack(values, axis=1) for name, values in samples.items()},
    )


def figures_of(answers: Answers, members: Sequence[str], seeds: int) -> dict[str, Figure]:
    """Flat figures."""
    import numpy as np

    scored = {system: resampled(answers, system) for system in answers.systems}
    draws = np.random.default_rng(1).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds

    def mean(kind: str, score: str) -> float:
        return float(np.mean([scored[f"{kind}/{name}"].point[score].mean() for name in members]))

    def gain(
        first: Sequence[str], second: Sequence[str], score: str, sign: float, name: str
    ) -> dict[str, float]:
        """First minus second (or the other way round), averaged over the pairs, with its two intervals."""
        point = sign * np.mean(
            [scored[a].point[score] - scored[b].point[score] for a, b in zip(first, second, strict=True)],
            axis=0,
        )
        both = sign * np.mean(
            [scored[a].samples[score] - scored[b].samples[score] for a, b in zip(first, second, strict=True)],
            axis=0,
        )
        low, high = np.quantile((both * draws).sum(axis=1), [0.025, 0.975])
        seeds_low, seeds_high = np.quantile(draws @ point, [0.025, 0.975])
        return {
            name: float(point.mean()),
            f"{name}_low": float(low),
            f"{name}_high": float(high),
            f"{name}_seeds_low": float(seeds_low),
            f"{name}_seeds_high": float(seeds_high),
        }

    joint, separate = ([f"{kind}/{name}" for name in members] for kind in ("joint", "separate"))
    means = [f"class mean joint/{name}" for name in members]
    figures: dict[str, Figure] = {
        "clips": sum(len(part) for part in next(iter(answers.systems["ensemble"].values()))),
        "seeds": seeds,
        "models_trained": answers.models,
        "joint_combined": mean("joint", "combined"),
        "separate_combined": mean("separate", "combined"),
        **gain(joint, separate, "combined", 1.0, "combined_gain"),
        "joint_waf": mean("joint", "waf"),
        "separate_waf": mean("separate", "waf"),
        "joint_valence_mse": mean("joint", "mse"),
        "separate_valence_mse": mean("separate", "mse"),
        "class_mean_mse": mean("class mean joint", "mse"),
        "class_mean_separate_mse": mean("class mean separate", "mse"),
        **gain(joint, means, "mse", -1.0, "valence_gain"),
        "ensemble_waf": float(scored["ensemble"].point["waf"].mean()),
        "best_member_waf": float(scored["best member"].point["waf"].mean()),
        "ensemble_combined": float(scored["ensemble"].point["combined"].mean()),
        "best_member_combined": float(scored["best member"].point["combined"].mean()),
        **gain(["ensemble"], ["best member"], "combined", 1.0, "ensemble_gain"),
        **gain(["ensemble"], ["best member"], "waf", 1.0, "ensemble_waf_gain"),
    }
    for name in members:
        for kind in ("joint", "separate"):
            figures[f"{name}_{kind}_combined"] = float(scored[f"{kind}/{name}"].point["combined"].mean())
    for system, found in scored.items():
        if system.startswith("ablation"):
            for score in ("combined", "waf", "mse"):
                figures[f"{system.replace(' ', '_')}_{score}"] = float(found.point[score].mean())
    return figures


if __name__ == "__main__":
    main()
