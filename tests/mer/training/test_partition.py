"""Views: nobody sees the labels of the clips it is scored on, and digests follow what a stage may see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mer.examples import Examples
from mer.training.partition import FINAL_VIEW, partitions


def _examples(seed: int, speakers: int, clips: int) -> tuple[Examples, np.ndarray]:
    generator = np.random.default_rng(seed)
    who = generator.integers(0, speakers, clips)
    holdout = who == 0
    emotion = np.where(generator.random(clips) < 0.25, -1, generator.integers(0, 3, clips))
    fold = np.where((emotion >= 0) & ~holdout, who % 3, -1)
    examples = Examples(
        clip_ids=tuple(f"clip{i}" for i in range(clips)),
        emotion=emotion.astype(np.int64),
        valence=generator.normal(size=clips).astype(np.float32),
        speaker=tuple(f"s{w}" for w in who),
        fold=fold.astype(np.int64),
        weight=np.ones(clips, dtype=np.float32),
    )
    return examples, holdout


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), speakers=st.integers(6, 14), clips=st.integers(60, 120))
def test_no_view_sees_or_trains_on_what_it_is_scored_on(seed: int, speakers: int, clips: int) -> None:
    examples, holdout = _examples(seed, speakers, clips)
    canary = np.array([speaker == "s1" for speaker in examples.speaker]) & (examples.emotion >= 0)
    views = partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary)
    assert FINAL_VIEW in views
    for name, view in views.items():
        masks = (view.train, view.validation, view.test, view.unlabelled, view.canary)
        assert (np.sum(masks, axis=0) <= 1).all(), "roles overlap"
        assert (view.visible(examples).emotion[view.test | view.canary] == -1).all()
        assert (view.canary == canary).all()
        assert not (view.train | view.validation)[holdout].any()
        # what may become a pseudo-label: no speaker of the test fold, of validation, of the holdout or of the canary
        apart = view.test | view.validation | holdout | canary
        assert not {examples.speaker[i] for i in np.flatnonzero(apart)} & {
            examples.speaker[i] for i in np.flatnonzero(view.unlabelled)
        }, f"{name} may label speakers who are kept apart"
        assert (examples.emotion[view.unlabelled] < 0).all()
        tested = {examples.speaker[i] for i in np.flatnonzero(view.test)}
        for mask in (view.train, view.validation, view.unlabelled):
            assert not tested & {examples.speaker[i] for i in np.flatnonzero(mask)}, (
                f"{name} meets its test speakers"
            )
        heard = {examples.speaker[i] for i in np.flatnonzero(view.train)}
        assert not heard & {examples.speaker[i] for i in np.flatnonzero(view.validation)}


def test_a_corpus_of_one_speaker_keeps_its_unlabelled_clips() -> None:
    examples, _ = _examples(2, 8, 60)
    alone = replace(examples, speaker=("one",) * len(examples))
    view = partitions(alone, np.zeros(60, dtype=bool), validation_share=0.25, seed=3)[FINAL_VIEW]
    assert view.validation.any() and (view.unlabelled == (alone.emotion < 0)).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    contents=st.integers(8, 60),
    everyone_is=st.sampled_from([None, "one", "several"]),
)
def test_no_view_trains_on_or_chooses_by_a_content_that_is_judged_elsewhere(
    seed: int, contents: int, everyone_is: str | None
) -> None:
    """Folds, holdout and canary cut contents apart here: views must keep apart what the folds do not."""
    examples, _ = _examples(seed, 9, 90)
    generator = np.random.default_rng(seed)
    content = tuple(f"x{i}" if i else "" for i in generator.integers(0, contents, 90))
    speaker = examples.speaker if everyone_is == "several" else (everyone_is,) * 90
    examples = replace(examples, content=content, speaker=speaker)
    holdout, canary = generator.random(90) < 0.1, generator.random(90) < 0.1

    def of(mask: np.ndarray) -> set[str]:
        return {content[i] for i in np.flatnonzero(mask)} - {""}

    for view in partitions(examples, holdout, validation_share=0.25, seed=3, canary=canary).values():
        learnt = view.train | view.validation | view.unlabelled
        assert not of(learnt) & of(view.test | holdout | canary)
        assert not of(view.train | view.unlabelled) & of(view.validation)
        unknown = np.array([not one for one in content]) & (examples.emotion >= 0) & (examples.fold >= 0)
        assert (view.train | view.validation | view.test | holdout | canary)[unknown].all(), "equal to none"


def test_digests_cover_names_and_contents() -> None:
    examples, holdout = _examples(1, 8, 80)
    view = partitions(examples, holdout, validation_share=0.25, seed=3)["fold0"]
    known = replace(examples, content=tuple(f"x{i}" for i in range(80)))
    row = int(np.flatnonzero(view.train)[0])
    replaced = tuple("other" if i == row else one for i, one in enumerate(known.content))
    renamed = tuple("other" if i == row else one for i, one in enumerate(known.clip_ids))
    digests = {
        view.digest(one, unlabelled=False)
        for one in (examples, known, replace(known, content=replaced), replace(known, clip_ids=renamed))
    }
    assert len(digests) == 4


def test_digests_ignore_hidden_labels_and_unlabelled_clips() -> None:
    examples, holdout = _examples(1, 8, 80)
    view = partitions(examples, holdout, validation_share=0.25, seed=3)["fold0"]
    emotion = examples.emotion.copy()
    emotion[view.test] = 2
    changed = replace(examples, emotion=emotion)
    assert view.digest(changed, unlabelled=False) == view.digest(examples, unlabelled=False)
    emotion = examples.emotion.copy()
    emotion[np.flatnonzero(view.train)[0]] = (emotion[np.flatnonzero(view.train)[0]] + 1) % 3
    assert view.digest(replace(examples, emotion=emotion), unlabelled=False) != view.digest(
        examples, unlabelled=False
    )
    assert view.digest(examples, unlabelled=True) != view.digest(examples, unlabelled=False)
