from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mer.examples import Examples
from mer.fusion.choice import candidates, fit_chosen, validation_score
from mer.fusion.config import FusionConfig
from mer.fusion.fit import FusionResumable, fit_fusion
from mer.stream_tables import FeatureTable
from mer.training.checkpoint import Checkpoint

CLASSES = ("neutral", "angry", "happy")
SHORT = FusionConfig(epochs=6, hidden=8, dropout=0.0, modality_dropout=0.0, learning_rate=0.02, patience=0)


def rare_classes(clips: int = 240) -> tuple[dict[str, FeatureTable], Examples]:
    """Nine tenths are neutral; what tells the others apart is weak beside that."""
    rng = np.random.default_rng(4)
    emotion = np.where(np.arange(clips) % 10 == 0, 1 + (np.arange(clips) // 10) % 2, 0)
    values = np.eye(3)[emotion] @ rng.normal(0, 1, (3, 6)) + rng.normal(0, 1.2, (clips, 6))
    names = tuple(f"c{row}" for row in range(clips))
    table = FeatureTable(names, values.astype(np.float32), np.ones(clips, dtype=bool))
    examples = Examples(
        names, emotion.astype(np.int64), rng.normal(0, 3, clips).astype(np.float32),
        tuple(f"s{row % 8}" for row in range(clips)), np.full(clips, -1, np.int64), np.ones(clips, np.float32),
    )  # fmt: skip
    return {"acoustic": table}, examples


def masks(clips: int = 240) -> tuple[np.ndarray, np.ndarray]:
    validation = np.arange(clips) % 8 < 3
    return ~validation, validation


def test_the_best_of_all_choices_is_kept() -> None:
    tables, examples = rare_classes()
    config = SHORT.model_copy(update={"chosen_on_validation": ("class_weighting", "valence_weight")})
    tried = candidates(config, valence=True)
    assert [(one.class_weighting, one.valence_weight) for one in tried] == [
        ("none", 1.0), ("none", 0.1), ("balanced", 1.0), ("balanced", 0.1),
    ]  # fmt: skip
    alone = [fit_fusion(tables, examples, *masks(), CLASSES, options) for options in tried]
    scores = [validation_score(fitted) for fitted in alone]
    assert len(set(scores)) > 1, "otherwise nothing is chosen here"
    best = alone[int(np.argmax(scores))]
    chosen = fit_chosen(tables, examples, *masks(), CLASSES, config)
    assert chosen.config == best.config and chosen.best_score == best.best_score
    assert all((chosen.tensors[name] == value).all() for name, value in best.tensors.items())


def test_nothing_to_choose_by_leaves_the_recipes_own_options() -> None:
    tables, examples = rare_classes()
    config = SHORT.model_copy(update={"chosen_on_validation": ("class_weighting",)})
    train, _ = masks()
    chosen = fit_chosen(tables, examples, train, np.zeros(240, dtype=bool), CLASSES, config)
    assert chosen.config.class_weighting == "none"
    assert len(candidates(config, valence=False)) == 2
    only_valence = config.model_copy(update={"chosen_on_validation": ("valence_weight",)})
    assert len(candidates(only_valence, valence=False)) == 1, (
        "no clip has a valence: its weight changes nothing"
    )


@pytest.mark.parametrize("stopped", [2, 8])
def test_a_killed_choice_goes_on_where_it_was(tmp_path: Path, stopped: int) -> None:
    tables, examples = rare_classes()
    config = SHORT.model_copy(update={"chosen_on_validation": ("class_weighting",), "checkpoint_epochs": 1})
    whole = fit_chosen(tables, examples, *masks(), CLASSES, config)
    told: list[tuple[int, int]] = []

    def killed(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == stopped:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "fit.safetensors")
    with pytest.raises(KeyboardInterrupt):
        fit_chosen(tables, examples, *masks(), CLASSES, config, FusionResumable(checkpoint, killed))
    resumed: list[tuple[int, int]] = []

    def listen(done: int, total: int) -> None:
        resumed.append((done, total))

    again = fit_chosen(tables, examples, *masks(), CLASSES, config, FusionResumable(checkpoint, listen))
    assert again.config == whole.config
    assert all((again.tensors[name] == value).all() for name, value in whole.tensors.items())
    assert told[-1] == (stopped, 12) and resumed[-1] == (12, 12)
    assert len(resumed) == 12 - stopped, "no epoch is trained twice"
