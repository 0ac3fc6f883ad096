"""Joint decoding of emotion and valence against separate heads, and the ensemble of three structures against the best of them.

    python -m benchmarks.fusion.joint_decoding [--quick] [--corpus PATH] [--recipe joint_decoding] [--clips 200]
                                               [--demo-seed 2023] [--seeds 5] [--level frames] [--ablation] [--workers 1]
                                               [--json PATH]

Features come from the stages of the flow `train` (those already in MER_HOME are found again); then, for every seed and outer
fold, each member of the recipe's ensemble is trained with joint decoding and uncertainty weighting (`joint`) and with separate
heads at 1:1 (`separate`); all other options are the same for both. Scores are out of fold; every choice (epoch, temperatures, the
best member) is made on validation speakers of the training folds. The demo corpus is used without `--corpus`; `--quick` takes
fewer clips, two seeds, wider frames and a recipe without alignment.

Valence is also calibrated (`mer.ensemble.valence`): for each arm alike, by one share fitted on the validation clips.

JSON keys, score = combined (WAF - .25 MSE), waf, mse; figures are means over seeds and structures. `joint_combined`,
`joint_waf`, `joint_valence_mse`, the same with `joint_calibrated_`, `separate_`, `separate_calibrated_`. Class-mean decoding
sum_c p_c m_c, m_c the means of training clips: `class_mean_mse` by the joint models' posteriors, `class_mean_calibrated_mse` by
them at their temperature, `class_mean_predicted_mse` by the predicted class alone; with `class_mean_separate_` by the separate
models'; `class_mean_ensemble_mse` by the ensemble's. `best_member_<score>` (per view the member with the best validation score),
`ensemble_<score>`, both with calibrated valence, and without: `best_member_uncalibrated_<score>`,
`ensemble_uncalibrated_<score>`; `<member>_<arm>_<score>`; `clips`, `speakers`, `seeds`, `models_trained`,
`cpu_seconds_per_model`; `joint_validation_combined`, `separate_validation_combined` (mean over views, on the clips that chose
the epoch: what options of a recipe may be compared by). Differences, each with `_seeds_low`, `_seeds_high` (95 %, paired, seeds
resampled), `_low`, `_high` (seeds and speakers resampled) and `_by_seed`: the keys of `benchmarks.fusion.joint_scores.CLAIMS`.
`--ablation` adds `ablation_<decoding>_<balance>_<score>` of the recipe's own structure for {separate, joint} x {fixed,
uncertainty, gradnorm}.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import parser, write_figures
from benchmarks.fusion.class_means import decoded_by_class_means, decoded_by_prediction
from benchmarks.fusion.joint_scores import Answers, ViewAnswers, figures_of, score_of, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flows.experiment import Experiment
    from mer.ensemble.valence import ValenceLabels
    from mer.examples import Examples
    from mer.fusion.config import FusionConfig
    from mer.fusion.streams import StreamTable
    from mer.posteriors import Posteriors
    from mer.recipes import Recipe
    from mer.training.partition import Partition

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
    test: NDArray[np.bool_]
    tables: dict[str, StreamTable]
    classes: int

    @property
    def held(self) -> list[str]:
        """The validation clips."""
        return [self.own.clip_ids[i] for i in self.validation.nonzero()[0]]

    @property
    def truth(self) -> NDArray[np.int64]:
        """Their classes."""
        return self.own.emotion[self.validation]

    @property
    def labels(self) -> ValenceLabels:
        """Their valence, and the class means of the training clips."""
        from mer.ensemble.valence import ValenceLabels, class_mean_valence

        learnt = self.own.subset(self.train.nonzero()[0])
        means = class_mean_valence(learnt.emotion, learnt.valence, self.classes)
        return ValenceLabels(self.own.valence[self.validation], means)


Job = tuple[View, "Recipe", int, bool]
"""View, recipe, seed, and whether to train the ablations too."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", default="", help="corpus folder; none: the demo corpus")
    options.add_argument("--recipe", default="", help="recipe with an ensemble, or its YAML file")
    options.add_argument("--clips", type=int, default=0, help="clips of the demo corpus")
    options.add_argument("--demo-seed", type=int, default=2023, help="seed of the demo corpus")
    options.add_argument("--seeds", type=int, default=0, help="seeds of every model")
    options.add_argument(
        "--level", choices=["utterance", "frames"], default="", help="overrides the recipe's"
    )
    options.add_argument("--ablation", action="store_true", help="also take decoding and balance apart")
    options.add_argument(
        "--workers", type=int, default=1, help="processes of one thread that train folds and seeds"
    )
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
    experiment = gathered(
        recipe,
        DemoOptions(recipe=name, corpus=chosen.corpus, demo_clips=clips, demo_seed=chosen.demo_seed),
    )
    answers = train_all(
        experiment,
        range(1, seeds + 1),
        ablation=chosen.ablation,
        workers=chosen.workers,
    )
    figures = figures_of(answers, tuple(recipe.member_fusions), seeds)
    show(figures, tuple(recipe.member_fusions))
    write_figures(chosen.json, figures)


def gathered(recipe: Recipe, options: Any) -> Experiment:
    """The stages before the fusion, as the flow `train` runs them."""
    from prefect import flow

    from flows.experiment import Experiment
    from flows.features import extract_frames, extract_streams
    from flows.ingest import ingest_corpus
    from flows.pretrain import pretrain_views
    from flows.runners import configured_task_runner

    @flow(name="joint decoding benchmark", task_runner=configured_task_runner())
    def stages() -> Experiment:
        dataset, _ = ingest_corpus(recipe, options)
        return extract_frames(pretrain_views(extract_streams(Experiment(recipe, dataset))))

    return stages()


def train_all(
    experiment: Experiment,
    seeds: Sequence[int],
    *,
    ablation: bool,
    workers: int,
) -> Answers:
    """Every system on every fold and seed; what comes out does not depend on the number of workers."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mer.training.partition import FINAL_VIEW
    from tasks.data.dataset import load_partitions
    from tasks.stage.workspace import workspace

    recipe = experiment.recipe
    examples, partitions = load_partitions(workspace(), experiment.dataset)
    answers = Answers(examples)
    folds = [view for view in partitions if view != FINAL_VIEW]
    views = [view_of(name, examples, partitions[name], experiment) for name in folds]
    jobs = [(view, recipe, seed, ablation) for view in views for seed in seeds]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task("training", total=len(jobs))
        for (view, _, seed, _), found in zip(jobs, in_turn_or_side_by_side(jobs, workers), strict=True):
            answers.take(seed, found)
            progress.advance(bar)
            if not progress.console.is_terminal:  # a log has no bar: a line instead
                progress.console.print(
                    f"{view.name}, seed {seed}: {found.models} models, {found.cpu_seconds:.0f} processor seconds"
                )
    return answers


def in_turn_or_side_by_side(jobs: Sequence[Job], workers: int) -> Iterator[ViewAnswers]:
    """The answers of every job, in the order of the jobs."""
    if workers <= 1:
        yield from map(train_view, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        yield from pool.map(train_view, jobs)


def one_thread() -> None:
    """Keep a worker to one thread: a sum must not depend on how many there are."""
    import torch

    torch.set_num_threads(1)


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
    experiment: Experiment,
) -> View:
    """The clips and streams of an outer fold; no model and no choice sees a test label: the view blanks them."""
    import numpy as np

    from tasks.data.streams import view_streams
    from tasks.stage.workspace import workspace

    keep = np.flatnonzero(partition.train | partition.validation | partition.test)
    inputs = experiment.inputs(experiment.view(name))
    return View(
        name,
        partition.visible(examples).subset(keep),
        partition.train[keep],
        partition.validation[keep],
        partition.test[keep],
        view_streams(
            workspace(), inputs, experiment.recipe.fusion.level, [examples.clip_ids[i] for i in keep]
        ),
        len(experiment.recipe.emotions),
    )


def train_view(job: Job) -> ViewAnswers:
    """All systems of one fold and seed."""
    import numpy as np

    from mer.fusion.fit import fit_fusion, predict_fusion

    view, recipe, seed, ablation = job
    found, started = ViewAnswers(), time.process_time()

    def fitted(config: FusionConfig, **changes: object) -> Posteriors:
        config = config.model_copy(update={"seed": seed, **changes})
        model = fit_fusion(view.tables, view.own, view.train, view.validation, recipe.emotions, config)
        found.models += 1
        return predict_fusion(model, view.tables)

    members = {
        "joint": {name: fitted(config) for name, config in recipe.member_fusions.items()},
        "separate": {name: fitted(config, **SEPARATE) for name, config in recipe.member_fusions.items()},
    }
    systems: dict[str, Posteriors] = {}
    for kind, own in members.items():
        scores = [validation_score(one, view) for one in own.values()]
        found.validation += [(kind, score) for score in scores]
        systems |= decodings(kind, own, view)
    systems |= combined(members["joint"], systems, view, recipe)
    for options in ablations() if ablation else ():
        systems[f"ablation {' '.join(options.values())}"] = fitted(recipe.fusion, **options)
    test = [view.own.clip_ids[i] for i in np.flatnonzero(view.test)]
    found.systems = [(name, own.restricted(test)) for name, own in systems.items()]
    found.cpu_seconds = time.process_time() - started
    return found


def decodings(kind: str, members: Mapping[str, Posteriors], view: View) -> dict[str, Posteriors]:
    """Valence of these models as it is, calibrated on validation clips, and by class means of four forms of posteriors."""
    from mer.ensemble.valence import calibrated, fit_valence_share
    from mer.evaluation.calibration import fit_temperature

    labels, known = view.labels, view.truth >= 0
    held = {name: own.restricted(view.held) for name, own in members.items()}
    temperatures = {name: fit_temperature(own.logits[known], view.truth[known]) for name, own in held.items()}
    share = fit_valence_share(list(held.values()), list(temperatures.values()), labels)
    found: dict[str, Posteriors] = {}
    for name, own in members.items():
        better = calibrated(own, temperatures[name], labels.class_means, share)
        found |= {
            f"{kind}/{name}": own,
            f"{kind} calibrated/{name}": better,
            f"class mean {kind}/{name}": decoded_by_class_means(own, labels.class_means),
            f"class mean {kind} calibrated/{name}": decoded_by_class_means(better, labels.class_means),
            f"class mean {kind} predicted/{name}": decoded_by_prediction(own, labels.class_means),
        }
    return found


def validation_score(posteriors: Posteriors, view: View) -> float:
    """WAF - .25 MSE on the validation clips."""
    return score_of(posteriors.restricted(view.held), view.truth, view.labels.held_out)["combined"]


def combined(
    members: Mapping[str, Posteriors], systems: Mapping[str, Posteriors], view: View, recipe: Recipe
) -> dict[str, Posteriors]:
    """The ensemble and the member with the best validation score, all settled on validation clips, valence calibrated or not."""
    from mer.ensemble.ensemble import fit_ensemble

    if recipe.ensemble is None:
        raise ValueError(f"recipe {recipe.name}: expected an ensemble of structures, found none")
    held = {name: member.restricted(view.held) for name, member in members.items()}
    found: dict[str, Posteriors] = {}
    for suffix, kind, on in (("", "joint calibrated", True), (" uncalibrated", "joint", False)):
        config = recipe.ensemble.model_copy(update={"calibrate_valence": on})
        ensemble = fit_ensemble(held, view.truth, config, view.labels)
        own = [systems[f"{kind}/{name}"] for name in members]
        found[f"best member{suffix}"] = max(own, key=lambda one: validation_score(one, view))
        found[f"ensemble{suffix}"] = ensemble.combine(members)
    found["class mean ensemble"] = decoded_by_class_means(found["ensemble"], view.labels.class_means)
    return found


if __name__ == "__main__":
    main()
