"""Training sets: what can never be learnt from, and that a withdrawn generation leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mer.examples import Examples
from mer.selftraining.config import SelfTrainingConfig
from mer.selftraining.pseudo_labels import PseudoLabels
from mer.selftraining.training_set import candidates, training_set, usable_in
from mer.training.partition import FINAL_VIEW, partitions

CLASSES = ("neutral", "angry", "happy")
CONFIG = SelfTrainingConfig()


def corpus(seed: int, speakers: int, clips: int) -> tuple[Examples, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    who = generator.integers(0, speakers, clips)
    emotion = np.where(generator.random(clips) < 0.4, -1, generator.integers(0, 3, clips))
    holdout, canary = (who == 0) & (emotion >= 0), (who == 1) & (emotion >= 0)
    examples = Examples(
        clip_ids=tuple(f"clip{i}" for i in range(clips)),
        emotion=emotion.astype(np.int64),
        valence=np.full(clips, np.nan, np.float32),
        speaker=tuple(f"s{w}" for w in who),
        fold=np.where((emotion >= 0) & ~holdout & ~canary, who % 3, -1).astype(np.int64),
        weight=np.ones(clips, dtype=np.float32),
    )
    return examples, holdout, canary


def labels(generator: np.random.Generator, names: list[str]) -> PseudoLabels:
    """Labels for whatever clips, some of which must never be learnt from."""
    count = len(names)
    emotion = generator.integers(0, 3, count)
    return PseudoLabels(
        clip_ids=tuple(names),
        emotion=emotion,
        confidence=generator.uniform(0.5, 1, count).astype(np.float32),
        valence=np.full(count, np.nan, np.float32),
        probabilities=np.eye(3, dtype=np.float32)[emotion],
        agreeing=np.full(count, 2),
        classes=CLASSES,
    )


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10_000), speakers=st.integers(6, 14), clips=st.integers(60, 120))
@example(seed=5777, speakers=6, clips=60)  # one training speaker in a view, who is validated by clips
def test_nothing_kept_apart_is_ever_learnt_from(seed: int, speakers: int, clips: int) -> None:
    examples, holdout, canary = corpus(seed, speakers, clips)
    generator = np.random.default_rng(seed + 1)
    everything = [*examples.clip_ids, "gone"]
    generations = [
        labels(generator, sorted(generator.choice(everything, clips // 2, replace=False))) for _ in range(3)
    ]
    for view in partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary).values():
        seen = view.visible(examples)
        learnt = training_set(seen, view, generations, CONFIG)
        apart = view.test | view.validation | holdout | canary
        assert not (learnt.train & apart).any()
        trained = {examples.speaker[i] for i in np.flatnonzero(view.train)}
        chosen_by = {examples.speaker[i] for i in np.flatnonzero(view.validation)} - trained
        evaluated = np.flatnonzero(view.test | holdout | canary)
        speakers_apart = chosen_by | {examples.speaker[i] for i in evaluated}
        assert not speakers_apart & {examples.speaker[i] for i in np.flatnonzero(learnt.pseudo)}
        assert (learnt.pseudo & view.train).sum() == 0 and (
            learnt.train == (view.train | learnt.pseudo)
        ).all()
        assert (learnt.examples.emotion[~learnt.pseudo] == seen.emotion[~learnt.pseudo]).all(), "gold is gold"
        assert (learnt.examples.emotion[learnt.pseudo] >= 0).all()
        one, all_three = (training_set(seen, view, generations[:count], CONFIG) for count in (1, 3))
        assert all_three.membership == learnt.membership
        withdrawn = training_set(seen, view, [generations[0]], CONFIG)
        assert withdrawn.membership == one.membership and withdrawn.pseudo_digest == one.pseudo_digest
        none = training_set(seen, view, [], CONFIG)
        assert none.pseudo_digest is None and (none.train == view.train).all()
        assert (one.membership == none.membership) == (not one.pseudo.any())


def test_the_hash_follows_labels_weights_and_targets_not_how_they_were_delivered() -> None:
    examples, holdout, canary = corpus(3, 8, 100)
    view = partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary)[FINAL_VIEW]
    seen = view.visible(examples)
    names = [examples.clip_ids[i] for i in np.flatnonzero(view.unlabelled)]
    assert len(names) >= 6
    own = labels(np.random.default_rng(0), names)

    def of(*generations: PseudoLabels, config: SelfTrainingConfig = CONFIG) -> str:
        return training_set(seen, view, generations, config).membership

    halves = own.subset(np.arange(3)), own.subset(np.arange(3, len(names)))
    assert of(own) == of(*halves) == of(*halves[::-1])
    other = replace(own, emotion=(own.emotion + 1) % 3)
    assert of(other) != of(own)
    assert of(own, config=SelfTrainingConfig(weight=0.5)) != of(own)
    assert of(own, config=SelfTrainingConfig(targets="soft")) != of(own)
    # all of them have got gold labels since
    later = replace(examples, emotion=np.where(view.unlabelled, 2, examples.emotion))
    grown = replace(later, fold=np.where(view.unlabelled, 0, later.fold))
    now = partitions(grown, holdout, validation_share=0.25, seed=3, canary=canary)[FINAL_VIEW]
    assert not training_set(now.visible(grown), now, [own], CONFIG).pseudo.any()


def test_who_may_be_voted_on_and_whose_votes_count() -> None:
    examples, holdout, canary = corpus(3, 8, 100)
    views = partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary)
    view = views["fold0"]
    free = [examples.clip_ids[i] for i in np.flatnonzero(view.unlabelled)]
    assert candidates(examples, view, free[:1], free[1:2]) == tuple(free[2:])
    own = [examples.clip_ids[i] for i in np.flatnonzero(view.train | view.validation)]
    assert usable_in(own, examples, view)
    for clips in (view.test, view.canary):
        assert not usable_in([*own, examples.clip_ids[np.flatnonzero(clips)[0]]], examples, view)
    for clips in (view.test, view.canary):  # a voter knows the label of a copy
        same = {int(np.flatnonzero(clips)[0]), examples.clip_ids.index(own[0])}
        content = tuple("x" if row in same else "" for row in range(len(examples)))
        assert not usable_in(own, replace(examples, content=content), view)
        assert usable_in(own[1:], replace(examples, content=content), view)


def test_soft_targets_change_nothing_for_gold_labels() -> None:
    examples, holdout, canary = corpus(5, 8, 100)
    view = partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary)[FINAL_VIEW]
    names = [examples.clip_ids[i] for i in np.flatnonzero(view.unlabelled)]
    config = SelfTrainingConfig(targets="soft")
    learnt = training_set(view.visible(examples), view, [labels(np.random.default_rng(1), names)], config)
    assert learnt.examples.target is not None
    assert np.isnan(learnt.examples.target[~learnt.pseudo]).all()
