"""Options of the loss that are chosen on validation clips: a fit for every choice, and the best of them is kept.

Which class weighting helps, and whether learning valence beside the emotion does, differs from corpus to corpus (reconstruction:
no paper of the three says how they were set). On a tie the recipe's own value stays, so that nothing is changed without reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer.evaluation.metrics import combined_score
from mer.examples import Examples
from mer.fusion.config import FusionConfig
from mer.fusion.fit import FROM_SEED, FusionResumable, fit_fusion
from mer.fusion.fitted import FittedFusion
from mer.fusion.streams import StreamTable
from mer.training.checkpoint import Checkpoint
from mer.training.resumable import Progress

SMALL_VALENCE_WEIGHT = 0.1
"""Times the recipe's weight: valence is still learnt, and bends little of what the emotion reads."""


def candidates(config: FusionConfig, *, valence: bool) -> tuple[FusionConfig, ...]:
    """The options to fit, the recipe's own first.

    Args:
        config: names what is chosen in `chosen_on_validation`.
        valence: whether any training clip has a valence; without one its weight changes nothing.
    """
    weightings = dict.fromkeys((config.class_weighting, "none", "balanced"))
    weights = dict.fromkeys((config.valence_weight, SMALL_VALENCE_WEIGHT * config.valence_weight))
    named: dict[str, list[Any]] = {
        "class_weighting": list(weightings) if "class_weighting" in config.chosen_on_validation else [],
        "valence_weight": list(weights)
        if valence and "valence_weight" in config.chosen_on_validation
        else [],
    }
    varied = {name: values for name, values in named.items() if values}
    return tuple(
        config.model_copy(update=dict(zip(varied, values, strict=True)) | {"chosen_on_validation": ()})
        for values in product(*varied.values())
    )


def fit_chosen(
    features: Mapping[str, StreamTable],
    examples: Examples,
    train: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    classes: Sequence[str],
    config: FusionConfig,
    resume: FusionResumable = FROM_SEED,
) -> FittedFusion:
    """`fit_fusion` with every candidate of the options that are chosen on validation clips; the best one is returned.

    Without labelled validation clips there is nothing to choose by: the recipe's own options are fitted alone. Arguments and
    errors as of `fit_fusion`; checkpoints and progress are shared out among the candidates.
    """
    valence = bool(np.isfinite(examples.valence[train]).any())
    tried = candidates(config, valence=valence)
    if not (examples.emotion[validation] >= 0).any():
        tried = tried[:1]
    best: FittedFusion | None = None
    for number, options in enumerate(tried):
        fitted = fit_fusion(
            features, examples, train, validation, classes, options, _share(resume, number, len(tried))
        )
        if best is None or validation_score(fitted) > validation_score(best):
            best = fitted
    assert best is not None
    return best


def validation_score(fitted: FittedFusion) -> float:
    """What the kept epoch scored on the validation clips, the higher the better, as `validation_score` says; -inf: nothing."""
    record = fitted.history[fitted.best_epoch - 1] if fitted.history else {}
    score = record.get("validation_waf", math.nan)
    if fitted.config.validation_score == "loss":
        score = -record.get("validation_loss", math.nan)
    elif fitted.config.validation_score == "combined" and "validation_valence_mse" in record:
        score = combined_score(score, record["validation_valence_mse"])
    return -math.inf if math.isnan(score) else score


def _share(resume: FusionResumable, number: int, count: int) -> FusionResumable:
    """Checkpoint and progress of one of `count` fits."""
    if count == 1:
        return resume
    checkpoint, told = resume.checkpoint, resume.progress
    progress: Progress | None = None
    if told is not None:

        def progress(done: int, total: int) -> None:
            told(number * total + done, count * total)

    if checkpoint is not None:
        checkpoint = Checkpoint(checkpoint.path.with_name(f"choice{number}.{checkpoint.path.name}"))
    return replace(resume, checkpoint=checkpoint, progress=progress)
