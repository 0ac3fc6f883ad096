"""Pseudo-labels: votes on unlabelled clips, the verdict of true labels, and generations that can be traced and withdrawn.

Every view has its own voters and its own selection, so no test label reaches a pseudo-label. A generation is all views'
selections of one batch. What a view learns from is its gold labels and its selections of the live generations: withdrawing one
leaves exactly the training set there was without it, under the key it had, so nothing is trained again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from prefect import task

from infra.artifacts import ArtifactRef
from infra.catalogue import SET_ASIDE, GenerationFacts, GenerationRow, GenerationState
from mer.selftraining.config import SelfTrainingConfig
from mer.training.partition import FINAL_VIEW
from tasks.data.dataset import load_partitions, load_view
from tasks.data.equal_contents import equal_contents
from tasks.data.missing import presence
from tasks.data.selections import BALLOT, SELECTION, Ballot, ballot_file, load_selections, read_ballot
from tasks.learn.fusion import load_posteriors
from tasks.selftrain.rounds import HeldOutVoters, JudgedPair, Round
from tasks.stage.references import DatasetRef, FusedView, Standing, StreamInputs, View
from tasks.stage.run import Produced, StageResult, StageRun, digest, run_stage
from tasks.stage.workspace import Workspace, workspace

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors
    from mer.selftraining.judgement import HeldOutAnswers
    from mer.training.partition import Partition


@task(name="standing generations")
def standing_generations(dataset: DatasetRef, recipe: str) -> Standing:
    """Generations of the recipe of this name on this corpus: what is trained on, and whose clips are set aside.

    A view leaves out a generation whose voters saw labels that the view is scored on now: folds can be dealt anew.
    """
    from mer.selftraining.training_set import usable_in

    space = workspace()
    examples, partitions = load_partitions(space, dataset)
    live: dict[str, list[ArtifactRef]] = {view: [] for view in dataset.views}
    aside: dict[str, list[ArtifactRef]] = {view: [] for view in dataset.views}
    keys, waiting = [], []
    states = (GenerationState.LIVE, *SET_ASIDE)
    for row in space.catalogue.generations(dataset.corpus, recipe, states=states):
        for view, ref in row.selections.items():
            if view not in live:
                continue
            if row.state is not GenerationState.LIVE:
                aside[view].append(ref)
            elif usable_in(read_ballot(space, ref, examples).seen, examples, partitions[view]):
                live[view].append(ref)
                keys += [row.key] if view == FINAL_VIEW else []
        if row.state is not GenerationState.LIVE:
            waiting.append(f"generation {row.number} is {row.state}: {row.reason or 'no reason given'}")
    return Standing(
        live={view: tuple(refs) for view, refs in live.items()},
        aside={view: tuple(refs) for view, refs in aside.items()},
        generations=tuple(keys),
        waiting=tuple(waiting),
    )


@task(name="select pseudo-labels", task_run_name="select pseudo-labels {view.label}")
def select_view(
    view: View,
    inputs: StreamInputs,
    config: SelfTrainingConfig,
    voters: Sequence[FusedView],
    standing: Standing,
    asked: Sequence[HeldOutVoters],
) -> StageResult:
    """Vote on the clips of a view that nobody has voted on yet; the first voter leads. Meta: counts, thresholds, precision.

    A voter does not count for clips of which it has no stream.

    Args:
        view: whose unlabelled clips.
        inputs: streams that the voters read.
        config: the policy.
        voters: who vote.
        standing: generations that there are.
        asked: who say how sure the voters are and how often they are right: the voters themselves, where they hold the view's
            validation speakers out, or else those that were fitted alike on parts of it.
    """
    space = workspace()
    emotions, live = view.dataset.emotions, standing.live[view.name]
    examples, partition = load_view(space, view)
    ballots = {ref.sha256: read_ballot(space, ref, examples) for ref in (*live, *standing.aside[view.name])}
    candidates = _candidates(ballots, standing, view.name, examples, partition)
    held = [load_view(space, one.view)[1].validation for one in asked]
    known = [examples.clip_ids[i] for rows in held for i in np.flatnonzero(rows)]
    absent = _absent(space, inputs, voters, [*candidates, *known])
    gold = examples.emotion[partition.train | partition.validation]
    shares = np.bincount(gold[gold >= 0], minlength=len(emotions)) / max(1, int((gold >= 0).sum()))

    def produce(run: StageRun) -> Produced:
        from mer.selftraining.selection import HeldOut, select_pseudo_labels

        said = [load_posteriors(run.space, voter.posteriors) for voter in voters]
        held_out = HeldOut(
            held_out_posteriors(run.space, examples, asked, range(len(voters))),
            np.concatenate([examples.emotion[rows] for rows in held]) if held else np.zeros(0, np.int64),
        )
        chosen = select_pseudo_labels(
            [posteriors.restricted(candidates) for posteriors in said],
            emotions,
            config,
            excluded={examples.clip_ids[i] for i in np.flatnonzero(~partition.unlabelled)},
            held_out=held_out if len(known) else None,
            absent=absent,
            shares=shares,
        )
        seen = {examples.clip_ids[i] for i in np.flatnonzero(partition.train | partition.validation)}
        for ref in live:
            seen |= set(ballots[ref.sha256].seen)
        precision = chosen.estimated_precision
        return Produced(
            files={
                SELECTION: chosen.to_parquet(),
                BALLOT: ballot_file(candidates, seen, examples),
            },
            meta={
                "candidates": len(candidates),
                "selected": len(chosen.clip_ids),
                "counts": json.dumps(dict(chosen.counts)),
                "thresholds": json.dumps(_finite(chosen.thresholds)),
                "precision": json.dumps(dict(chosen.precision)),
                "estimated_precision": None if np.isnan(precision) else round(precision, 4),
            },
            metrics={
                "candidates": float(len(candidates)),
                **({} if np.isnan(precision) else {"estimated_precision": precision}),
                **{f"selected_{name}": float(count) for name, count in chosen.counts.items()},
            },
        )

    return run_stage(
        "pseudo-labels",
        inputs={
            "voters": [[voter.system, voter.posteriors.sha256] for voter in voters],
            "asked": [[one.view.label, *(voter.posteriors.sha256 for voter in one.voters)] for one in asked],
            "view": partition.digest(examples, unlabelled=False),
            "candidates": digest(sorted(candidates)),
            "live": [ref.sha256 for ref in live],
            "absent": [sorted(clips) for clips in absent],
        },
        config={"selection": _policy(config), "emotions": list(emotions)},
        produce=produce,
        label=f"select pseudo-labels {view.label}",
        parent_run=view.parent_run,
    )


@task(name="judge round", task_run_name="judge round {view.name}")
def judge(view: View, config: SelfTrainingConfig, seed: int, pairs: Sequence[JudgedPair]) -> StageResult:
    """Compare the systems of a view before and after a round on true labels of this view alone; meta: the verdict.

    What other views hold out are test speakers of this one: a view decides by its own held-out speakers.

    Args:
        view: whose systems are compared.
        config: when a round is kept.
        seed: of the resamples of speakers.
        pairs: systems before and after the round: one pair for the view's validation speakers, or one for each part of its
            labelled speakers.
    """
    space = workspace()
    partitions = [load_view(space, pair.view) for pair in pairs]

    def produce(run: StageRun) -> Produced:
        from mer.selftraining.judgement import judge_round

        answers = [
            held_out_answers(run.space, examples, partition.validation, pair.before, pair.after)
            for pair, (examples, partition) in zip(pairs, partitions, strict=True)
        ]
        verdict = judge_round(answers, len(view.dataset.emotions), config, seed=seed)
        record = {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in vars(verdict).items()
        }
        figures = ("before", "after", "gain", "probability")
        return Produced(
            files={"verdict.json": json.dumps(record, indent=1).encode()},
            meta=record,
            metrics={name: float(value) for name in figures if (value := record[name]) is not None},
        )

    return run_stage(
        "pseudo-round",
        inputs={
            "pairs": [
                [pair.view.label, pair.before.posteriors.sha256, pair.after.posteriors.sha256]
                for pair in pairs
            ],
            "views": [partition.digest(examples, unlabelled=False) for examples, partition in partitions],
        },
        config={"least_gain": config.least_gain, "confidence": config.confidence, "seed": seed},
        produce=produce,
        label=f"judge round {view.name}",
        parent_run=view.parent_run,
    )


@task(name="record generation")
def record_generation(
    view: View, recipe: str, config: SelfTrainingConfig, ended: Round, standing: Standing
) -> GenerationRow:
    """Write a batch's pseudo-labels to the catalogue as one generation, once per content.

    Args:
        view: the served view.
        recipe: name of the recipe; it tells generations of several systems apart.
        config: the policy by which labels were selected.
        ended: the round whose labels they are.
        standing: what was live when they were selected.
    """
    from mer.selftraining.training_set import training_set

    space = workspace()
    dataset, final = view.dataset, ended.selected[view.name]
    examples, partition = load_view(space, view)
    (chosen,) = load_selections(space, [final.ref], examples)
    earlier = load_selections(space, standing.live[view.name], examples)
    key = digest(
        {
            "recipe": recipe,
            "corpus": dataset.corpus,
            "selections": {view: result.ref.sha256 for view, result in ended.selected.items()},
            "policy": config.model_dump(mode="json"),
        }
    )
    facts = GenerationFacts(
        key=key,
        corpus=dataset.corpus,
        recipe=recipe,
        artifact=final.ref,
        selections={view: result.ref for view, result in ended.selected.items()},
        voters={
            voter.system: f"{voter.model.kind}/{voter.model.key}@{voter.model.sha256}"
            for voter in ended.voters
        },
        policy={"selection": config.model_dump(mode="json"), "snapshot": dataset.membership},
        thresholds=_finite(chosen.thresholds),
        precision=chosen.precision,
        counts=chosen.counts,
        round=ended.number,
        membership=training_set(examples, partition, [*earlier, chosen], config).membership,
        findings=ended.findings,
        state=GenerationState(ended.state),
        reason=ended.reason,
    )
    labels = zip(chosen.clip_ids, chosen.emotion, chosen.confidence, chosen.valence, strict=True)
    content = dict(zip(examples.clip_ids, examples.content, strict=True))
    rows = [
        (name, content[name], dataset.emotions[int(emotion)], float(confidence), float(valence))
        for name, emotion, confidence, valence in labels
    ]
    withheld = equal_contents(space.catalogue.clips_sharing_content(dataset.corpus)).unlabelled
    return space.catalogue.add_generation(facts, rows, withheld)


def held_out_answers(
    space: Workspace, examples: Examples, clips: np.ndarray[Any, Any], before: FusedView, after: FusedView
) -> HeldOutAnswers:
    """Predictions of two models of a view on clips whose true labels the view did not learn."""
    from mer.selftraining.judgement import HeldOutAnswers

    rows = np.flatnonzero(clips)
    names = [examples.clip_ids[row] for row in rows]
    old, new = (load_posteriors(space, item.posteriors).restricted(names) for item in (before, after))
    return HeldOutAnswers(
        truth=examples.emotion[rows],
        before=old.predicted,
        after=new.predicted,
        speakers=tuple(examples.speaker[row] for row in rows),
    )


def _candidates(
    ballots: Mapping[str, Ballot],
    standing: Standing,
    view: str,
    examples: Examples,
    partition: Partition,
) -> tuple[str, ...]:
    from mer.selftraining.training_set import candidates

    considered, aside = (
        [name for ref in refs for name in ballots[ref.sha256].candidates]
        for refs in (standing.live[view], standing.aside[view])
    )
    return candidates(examples, partition, considered, aside)


def held_out_posteriors(
    space: Workspace, examples: Examples, asked: Sequence[HeldOutVoters], voters: Iterable[int]
) -> list[Posteriors]:
    """What voters of these numbers say of all validation clips that they hold out, one part after the other."""
    from mer.posteriors import Posteriors

    rows = [np.flatnonzero(load_view(space, one.view)[1].validation) for one in asked]
    return [
        Posteriors.joined(
            [
                load_posteriors(space, one.voters[number].posteriors).restricted(
                    [examples.clip_ids[row] for row in held]
                )
                for one, held in zip(asked, rows, strict=True)
            ]
        )
        for number in voters
    ]


def _absent(
    space: Workspace, inputs: StreamInputs, voters: Sequence[FusedView], clip_ids: Sequence[str]
) -> list[set[str]]:
    """For each voter the clips that lack all of its streams."""
    lacking = {
        name: {
            clip_id
            for clip_id, present in zip(clip_ids, presence(space, item.features, clip_ids)[0], strict=True)
            if not present
        }
        for name, item in inputs.items()
    }
    return [set.intersection(*(lacking[name] for name in voter.streams)) for voter in voters]


def _finite(thresholds: Mapping[str, float]) -> dict[str, float | None]:
    """Thresholds as JSON has them: None where none was good enough."""
    return {name: None if np.isinf(value) else float(value) for name, value in thresholds.items()}


def _policy(config: SelfTrainingConfig) -> dict[str, Any]:
    """What a selection depends on; how it is learnt from and judged is no part of that."""
    names = (
        "agreeing", "precision", "share", "least_clips", "cap_ratio", "threshold", "class_thresholds", "cap_per_class", "lead",
    )  # fmt: skip
    return {name: value for name, value in config.model_dump(mode="json").items() if name in names}
