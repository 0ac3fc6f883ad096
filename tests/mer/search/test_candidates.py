"""What a search may see, and how candidates are judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mer.features.dataset import FeatureTable
from mer.fusion.config import FusionConfig
from mer.search.candidates import Candidate, Judged, search_view, train_candidates
from mer.search.figures import history_figure, importance_figure
from mer.training.examples import Examples
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


def judged(*, test_labels_of: int | None = None, view: str = "fold0") -> list[Judged]:
    examples, parts, table = corpus(test_labels_of=test_labels_of)
    keep = np.flatnonzero(parts[view].train | parts[view].validation)
    rows = FeatureTable(tuple(table.clip_ids[i] for i in keep), table.values[keep], table.present[keep])
    seen = search_view(examples, parts[view], {"acoustic": rows}, CLASSES)
    rates = (1e-4, 1e-2, 1e-1)
    return train_candidates(
        [Candidate(CONFIG.model_copy(update={"learning_rate": r}), (seen,)) for r in rates]
    )


def test_the_chooser_cannot_see_the_test_fold() -> None:
    assert judged(test_labels_of=0) == judged()
    assert judged(test_labels_of=1) != judged()  # fold 1 is trained on in view fold0


def test_clips_of_the_test_fold_are_not_even_copied() -> None:
    examples, parts, table = corpus()
    part = parts["fold0"]
    keep = np.flatnonzero(part.train | part.validation)
    rows = FeatureTable(tuple(table.clip_ids[i] for i in keep), table.values[keep], table.present[keep])
    seen = search_view(examples, part, {"acoustic": rows}, CLASSES)
    assert len(seen.data.emotion) == len(keep) == CLIPS - part.test.sum()
    assert len(seen.train) + len(seen.validation) == len(keep)


def test_a_candidate_given_up_takes_all_its_models_along() -> None:
    examples, parts, table = corpus()
    views = []
    for name in ("fold0", "fold1"):
        keep = np.flatnonzero(parts[name].train | parts[name].validation)
        rows = FeatureTable(tuple(table.clip_ids[i] for i in keep), table.values[keep], table.present[keep])
        views.append(search_view(examples, parts[name], {"acoustic": rows}, CLASSES))
    candidates = [Candidate(CONFIG.model_copy(update={"seed": seed}), tuple(views)) for seed in range(3)]
    first, second, third = train_candidates(candidates, lambda epoch, scores: [1] if epoch == 2 else [])
    assert (first.pruned, second.pruned, third.pruned) == (False, True, False)
    assert (first.epochs, second.epochs) == (12, 4)
    assert [first, third] == train_candidates([candidates[0], candidates[2]])


@pytest.mark.parametrize("pruned", [[False, True, False], [True, True, True]])
def test_figures_are_pictures(pruned: list[bool]) -> None:
    for drawn in (history_figure([0.2, 0.1, 0.4], pruned), importance_figure({"layer": 0.7, "hidden": 0.3})):
        assert drawn.startswith(b"\x89PNG")
