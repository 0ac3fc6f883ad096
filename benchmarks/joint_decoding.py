"""Joint decoding of emotion and valence against separate heads, and the ensemble of three structures against the best of them.

    python -m benchmarks.joint_decoding [--quick] [--corpus PATH] [--recipe joint_decoding] [--clips 200] [--seeds 5]
                                        [--level frames] [--ablation] [--json PATH]

Features come from the stages of the flow `train` (those already in MER_HOME are found again); then, for every seed and outer
fold, each member of the recipe's ensemble is trained with joint decoding and uncertainty weighting (`joint`) and with separate
heads at 1:1 (`separate`); all other options are the same for both. Scores are out of fold; every choice (epoch, temperatures, the
best member) is made on validation speakers of the training folds. The demo corpus is used without `--corpus`; `--quick` takes
fewer clips, two seeds, wider frames and a recipe without alignment.

JSON keys. `joint_combined`, `separate_combined` (WAF - .25 MSE, mean over seeds and structures), the same with `_waf` and
`_valence_mse`; `class_mean_mse` (sum_c p_c m_c by the same joint models' posteriors, m_c the means of training clips),
`class_mean_calibrated_mse` (the posteriors first calibrated on validation clips), `class_mean_separate_mse` (posteriors of the
separate models); `best_member_<score>` (per view the member with the best validation score), `ensemble_<score>`,
`<member>_joint_<score>`, `<member>_separate_<score>`, score = combined, waf, mse; `clips`, `speakers`, `seeds`,
`models_trained`, `cpu_seconds_per_model`; `joint_validation_combined`, `separate_validation_combined` (mean over views, on the
clips that chose the epoch: what options of a recipe may be compared by). Differences `combined_gain` (joint - separate),
`valence_gain` (class_mean_mse - joint), `valence_calibrated_gain`, `ensemble_gain` and `ensemble_waf_gain` (ensemble - best
member), each with `_seeds_low`, `_seeds_high` (95 %, paired, seeds resampled), `_low`, `_high` (seeds and speakers resampled)
and `_by_seed`. `--ablation` adds `ablation_<decoding>_<balance>_<score>` of the recipe's own structure for
{separate, joint} x {fixed, uncertainty, gradnorm}.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import parser, write_figures
from benchmarks.joint_scores import Answers, figures_of, score_of, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mer.ensemble.posteriors import Posteriors
    from mer.fusion.config import FusionConfig
    from mer.fusion.streams import StreamTable
    from mer.recipes import Recipe
    from mer.training.examples import Examples
    from mer.training.partition import Partition
    from tasks.references import DatasetRef, FeatureSetRef, ViewSpaces

QUICK = Path(__file__).with_name("joint_decoding_quick.yaml")
SEPARATE = {"valence_decoding": "separate", "task_balance": "fixed"}


@dataclass(frozen=True)
class View:
    """An outer fold as the benchmark trains on it."""

    name: str
    own: Examples
    """Its clips, with the labels of test clips blanked."""
    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test: tuple[str, ...]
    tables: dict[str, StreamTable]


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
    clips, seeds = chosen.clips or (90 if chosen.quick else 200), chosen.seeds or (2 if chosen.quick else 5)

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
    show(figures, tuple(recipe.member_fusions))
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
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mer.training.partition import FINAL_VIEW
    from tasks.dataset import load_partitions
    from tasks.workspace import workspace

    examples, partitions = load_partitions(workspace(), dataset, recipe)
    answers = Answers(examples)
    folds = [view for view in partitions if view != FINAL_VIEW]
    each = 2 * len(recipe.member_fusions) + (len(ablations()) if ablation else 0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("training", total=len(folds) * len(seeds) * each)
        for name in folds:
            view = view_of(name, examples, partitions[name], recipe, features, spaces[name])
            for seed in seeds:
                progress.update(bar, description=f"{name}, seed {seed}")
                started = time.process_time()
                train_view(view, recipe, seed, answers, lambda: progress.advance(bar), ablation=ablation)
                seconds = time.process_time() - started
                answers.cpu_seconds += seconds
                if not progress.console.is_terminal:  # a log has no bar: a line instead
                    progress.console.print(
                        f"{name}, seed {seed}: {each} models, {seconds:.0f} processor seconds"
                    )
    return answers


def ablations() -> list[dict[str, str]]:
    """Options of the models that take decoding and balance apart."""
    return [
        {"valence_decoding": decoding, "task_balance": balance}
        for decoding in ("separate", "joint")
        for balance in ("fixed", "uncertainty", "gradnorm")
    ]


def view_of(
    name: str,
    examples: Examples,
    partition: Partition,
    recipe: Recipe,
    features: Mapping[str, FeatureSetRef],
    spaces: ViewSpaces,
) -> View:
    """The clips and streams of an outer fold; no model and no choice sees a test label: the view blanks them."""
    import numpy as np

    from tasks.streams import view_streams
    from tasks.workspace import workspace

    keep = np.flatnonzero(partition.train | partition.validation | partition.test)
    return View(
        name,
        partition.visible(examples).subset(keep),
        partition.train[keep],
        partition.validation[keep],
        tuple(examples.clip_ids[i] for i in np.flatnonzero(partition.test)),
        view_streams(workspace(), recipe, features, spaces, [examples.clip_ids[i] for i in keep]),
    )


def train_view(
    view: View, recipe: Recipe, seed: int, answers: Answers, advance: Callable[[], None], *, ablation: bool
) -> None:
    """All systems of one fold and seed; their answers to the test clips go to `answers`, `advance` counts models."""
    import numpy as np

    from mer.fusion.fit import fit_fusion, predict_fusion

    held = [view.own.clip_ids[i] for i in np.flatnonzero(view.validation)]

    def fitted(config: FusionConfig, **changes: object) -> Posteriors:
        config = config.model_copy(update={"seed": seed, **changes})
        model = fit_fusion(view.tables, view.own, view.train, view.validation, recipe.emotions, config)
        answers.models += 1
        advance()
        return predict_fusion(model, view.tables)

    def add(system: str, posteriors: Posteriors) -> None:
        answers.add(system, seed, posteriors.restricted(view.test))

    members: dict[str, Posteriors] = {}
    for name, config in recipe.member_fusions.items():
        members[name] = joint = fitted(config)
        apart = fitted(config, **SEPARATE)
        for kind, own in (("joint", joint), ("separate", apart)):
            answers.validation.setdefault(kind, []).append(validation_score(own, held, view.own))
        add(f"joint/{name}", joint)
        add(f"separate/{name}", apart)
        add(f"class mean joint/{name}", class_mean_decoded(joint, view.own, view.train))
        add(f"class mean separate/{name}", class_mean_decoded(apart, view.own, view.train))
        calibrated = calibrated_on(held, joint, view.own)
        add(f"class mean calibrated/{name}", class_mean_decoded(calibrated, view.own, view.train))
    for options in ablations() if ablation else ():
        add(f"ablation {' '.join(options.values())}", fitted(recipe.fusion, **options))
    for system, posteriors in combined(members, view.own, held, recipe).items():
        add(system, posteriors)


def calibrated_on(validation: Sequence[str], posteriors: Posteriors, own: Examples) -> Posteriors:
    """The posteriors at the temperature that fits the validation clips."""
    from mer.ensemble.combine import tempered
    from mer.evaluation.calibration import fit_temperature

    truth = own.emotion[rows_of(validation, own)]
    known = truth >= 0
    return tempered(
        posteriors, fit_temperature(posteriors.restricted(validation).logits[known], truth[known])
    )


def rows_of(clip_ids: Sequence[str], own: Examples) -> NDArray[np.int64]:
    """(N,) rows of these clips."""
    import numpy as np

    position = {clip_id: row for row, clip_id in enumerate(own.clip_ids)}
    return np.array([position[clip_id] for clip_id in clip_ids], dtype=np.int64)


def class_mean_decoded(posteriors: Posteriors, own: Examples, train: NDArray[np.bool_]) -> Posteriors:
    """The same posteriors with valence sum_c p_c m_c, m_c the means of the training clips."""
    import numpy as np

    from mer.ensemble.posteriors import Posteriors
    from mer.fusion.task_balance import class_means

    means = class_means(own.emotion[train], own.valence[train], posteriors.logits.shape[1]).numpy()
    valence = (posteriors.probabilities() @ means).astype(np.float32)
    return Posteriors(posteriors.clip_ids, posteriors.logits, valence)


def validation_score(posteriors: Posteriors, validation: Sequence[str], own: Examples) -> float:
    """WAF - .25 MSE on the validation clips."""
    rows = rows_of(validation, own)
    return score_of(posteriors.restricted(validation), own.emotion[rows], own.valence[rows])["combined"]


def combined(
    members: Mapping[str, Posteriors], own: Examples, validation: Sequence[str], recipe: Recipe
) -> dict[str, Posteriors]:
    """The ensemble, and the member with the best validation score, both settled on validation clips."""
    from mer.ensemble.ensemble import fit_ensemble

    if recipe.ensemble is None:
        raise ValueError(f"recipe {recipe.name}: expected an ensemble of structures, found none")
    held = {name: member.restricted(validation) for name, member in members.items()}
    ensemble = fit_ensemble(held, own.emotion[rows_of(validation, own)], recipe.ensemble)
    scores = {name: validation_score(member, validation, own) for name, member in members.items()}
    return {
        "ensemble": ensemble.combine(members),
        "best member": members[max(scores, key=scores.__getitem__)],
    }


if __name__ == "__main__":
    main()
