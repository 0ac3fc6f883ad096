"""What a search may see, and how candidates are judged."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from mer.examples import Examples
from mer.features.dataset import FeatureTable, RaggedTable
from mer.fusion.config import FusionConfig
from mer.fusion.fit import fit_fusion
from mer.fusion.frames import FrameStore
from mer.search.candidates import Candidate, Judged, SearchView, search_view, train_candidates
from mer.search.figures import history_figure, importance_figure
from mer.training.partition import Partition, partitions

CLIPS, CLASSES = 120, 3
CONFIG = FusionConfig(model="concat", hidden=8, epochs=6, patience=0, dropout=0.2, learning_rate=1e-2)


def corpus(*, test_labels_of: int | None = None) -> tuple[Examples, dict[str, Partition], FeatureTable]:
    """Clips of 12 speakers; `test_labels_of`: every label of that outer fold is another one."""
    generator = np.random.default_rng(4)
    emotion = generator.integers(0, CLASSES, CLIPS)
    values = (generator.normal(0, 1, (CLIPS, 6)) + np.eye(CLASSES, 6)[emotion]).astype(np.float32)
    fold = np.arange(CLIPS) % 12 // 4
    changed = np.where(fold == test_labels_of, (emotion + 1) % CLASSES, emotion)
    names = tuple(f"c{i}" for i in range(CLIPS))
    examples = Examples(
        names,
        changed,
        changed.astype(np.float32),
        tuple(f"s{i % 12}" for i in range(CLIPS)),
        fold,
        np.ones(CLIPS, np.float32),
    )
    # the partition is that of the corpus as it is: the class counts that even out folds are not the question here
    parts = partitions(
        replace(examples, emotion=emotion), np.zeros(CLIPS, bool), validation_share=0.25, seed=1
    )
    return examples, dict(parts), FeatureTable(names, values, np.ones(CLIPS, bool))


def of_view(table: FeatureTable, part: Partition) -> FeatureTable:
    """The rows of the clips that train or validate."""
    keep = np.flatnonzero(part.train | part.validation)
    return FeatureTable(tuple(table.clip_ids[i] for i in keep), table.values[keep], table.present[keep])


def judged(*, test_labels_of: int | None = None, view: str = "fold0") -> list[Judged]:
    examples, parts, table = corpus(test_labels_of=test_labels_of)
    seen = search_view(examples, parts[view], {"acoustic": of_view(table, parts[view])}, CLASSES)
    rates = (1e-4, 1e-2, 1e-1)
    return train_candidates(
        [Candidate(CONFIG.model_copy(update={"learning_rate": r}), (seen,)) for r in rates]
    )


@pytest.mark.slow
def test_the_chooser_cannot_see_the_test_fold() -> None:
    assert judged(test_labels_of=0) == judged()
    assert judged(test_labels_of=1) != judged()  # fold 1 is trained on in view fold0


def test_clips_of_the_test_fold_are_not_even_copied() -> None:
    examples, parts, table = corpus()
    part = parts["fold0"]
    keep = np.flatnonzero(part.train | part.validation)
    seen = search_view(examples, part, {"acoustic": of_view(table, part)}, CLASSES)
    assert len(seen.data.emotion) == len(keep) == CLIPS - part.test.sum()
    assert len(seen.data.train) + len(seen.data.validation) == len(keep)


def test_soft_targets_are_searched_with_and_those_of_the_test_fold_are_not() -> None:
    examples, parts, table = corpus()
    part = parts["fold0"]
    keep = np.flatnonzero(part.train | part.validation)
    rows = of_view(table, part)
    soft = np.random.default_rng(0).dirichlet(np.ones(CLASSES), CLIPS).astype(np.float32)
    seen = search_view(replace(examples, target=soft), part, {"acoustic": rows}, CLASSES)
    assert seen.data.target is not None and np.array_equal(seen.data.target.numpy(), soft[keep])
    hidden = np.where(part.test[:, None], soft, np.nan).astype(np.float32)
    assert (
        search_view(replace(examples, target=hidden), part, {"acoustic": rows}, CLASSES).data.target is None
    )


@pytest.mark.slow
def test_a_candidate_given_up_takes_all_its_models_along() -> None:
    examples, parts, table = corpus()
    views = []
    for name in ("fold0", "fold1"):
        views.append(search_view(examples, parts[name], {"acoustic": of_view(table, parts[name])}, CLASSES))
    candidates = [Candidate(CONFIG.model_copy(update={"seed": seed}), tuple(views)) for seed in range(3)]
    first, second, third = train_candidates(candidates, lambda epoch, scores: [1] if epoch == 2 else [])
    assert (first.pruned, second.pruned, third.pruned) == (False, True, False)
    assert (first.epochs, second.epochs) == (12, 4)
    assert [first, third] == train_candidates([candidates[0], candidates[2]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"model": "attention", "patience": 2, "task_balance": "uncertainty"}]
)
def test_what_is_judged_is_bit_for_bit_what_a_run_trains(changes: dict[str, object]) -> None:
    examples, parts, table = corpus()
    config, scores = CONFIG.model_copy(update=changes), []
    views = tuple(
        search_view(examples, parts[name], {"acoustic": of_view(table, parts[name])}, CLASSES)
        for name in ("fold0", "fold1")
    )
    neighbour = Candidate(config.model_copy(update={"seed": 7, "hidden": 16}), views)
    _, ours = train_candidates([neighbour, Candidate(config, views)])
    for name in ("fold0", "fold1"):
        part = parts[name]
        fitted = fit_fusion(
            {"acoustic": table}, part.visible(examples), part.train, part.validation, ["a", "b", "c"], config
        )
        scores.append(fitted.best_score)
    assert ours.score == fmean(scores)


def test_a_candidate_that_is_not_finite_ends_and_touches_no_other() -> None:
    examples, parts, table = corpus()
    seen = search_view(examples, parts["fold0"], {"acoustic": of_view(table, parts["fold0"])}, CLASSES)
    sound = Candidate(CONFIG, (seen,))
    wild = {"learning_rate": 1e30, "averaging": 0.0, "gradient_clip": 1e30}
    broken, other = train_candidates([Candidate(CONFIG.model_copy(update=wild), (seen,)), sound])
    assert broken.left[0].startswith("diverged") and broken.epochs < CONFIG.epochs and not broken.pruned
    assert [other] == train_candidates([sound])


def test_patience_ends_each_model_on_its_own() -> None:
    examples, parts, table = corpus()
    seen = search_view(examples, parts["fold0"], {"acoustic": of_view(table, parts["fold0"])}, CLASSES)
    changes = [
        {"patience": 2, "patience_steps": 0, "epochs": 40, "learning_rate": rate} for rate in (1e-1, 3e-2)
    ]
    judged = train_candidates([Candidate(CONFIG.model_copy(update=own), (seen,)) for own in changes])
    assert [one.left for one in judged] == [("patience",), ("patience",)]
    assert all(one.epochs < 40 for one in judged)


def test_views_of_frames_share_a_store_and_see_what_they_would_see_alone() -> None:
    examples, parts, _ = corpus()
    generator = np.random.default_rng(1)
    lengths = generator.integers(1, 6, CLIPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    signal = np.repeat(np.eye(CLASSES, 6)[examples.emotion], lengths, axis=0)
    values = (generator.normal(0, 1, (int(offsets[-1]), 6)) + signal).astype(np.float16)
    store = FrameStore()

    def seen(view: str, shared: FrameStore | None) -> SearchView:
        keep = np.flatnonzero(parts[view].train | parts[view].validation)
        own = np.concatenate([values[offsets[i] : offsets[i + 1]] for i in keep])
        starts = np.concatenate([[0], np.cumsum(lengths[keep])]).astype(np.int64)
        table = RaggedTable(tuple(examples.clip_ids[i] for i in keep), own, starts, np.ones(len(keep), bool))
        stores = {"acoustic": shared} if shared is not None else None
        return search_view(examples, parts[view], {"acoustic": table}, CLASSES, stores)

    names = ("fold0", "fold1", "fold2")
    together, apart = [seen(v, store) for v in names], [seen(v, None) for v in names]
    assert len(store.values) == len(values)
    assert all(view.data.streams.frames["acoustic"].store is store for view in together)
    frames = CONFIG.model_copy(update={"model": "afg_early", "level": "frames", "epochs": 2})
    one, other = (train_candidates([Candidate(frames, tuple(views))]) for views in (together, apart))
    assert one == other


@pytest.mark.parametrize("pruned", [[False, True, False], [True, True, True]])
def test_figures_are_pictures(pruned: list[bool]) -> None:
    for drawn in (history_figure([0.2, 0.1, 0.4], pruned), importance_figure({"layer": 0.7, "hidden": 0.3})):
        assert drawn.startswith(b"\x89PNG")
