"""Cross-validation of a `Fusion` on plain arrays: folds of whole speakers, out-of-fold posteriors, scores with intervals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mer.errors import ConfigError
from mer.evaluation.metrics import confusion
from mer.examples import Examples
from mer.library.arrays import column, is_missing, same_index
from mer.library.estimator import Fusion
from mer.library.labels import Labels, read_examples, read_labels
from mer.library.scoring import SCORES, Scores, scores_of
from mer.library.streams import named_streams, rows_of, stream_tables
from mer.library.validation import held_out
from mer.training.folds import assign_folds

if TYPE_CHECKING:
    import pandas

    from mer.stream_tables import StreamTable

_NO_SPEAKERS = (
    "speakers are not given: folds are dealt clip by clip, and the scores are too good for new speakers"
)


@dataclass(frozen=True)
class CrossValidation:
    """Result of `cross_validate` on N clips and C classes; `print` shows it as a table."""

    classes: NDArray[Any]
    """(C,) class names."""
    fold: NDArray[np.int64]
    """(N,) the fold in which a clip was tested; -1 = in none (unlabelled, or trained on throughout)."""
    labels: NDArray[np.int64]
    """(N,) true class index; -1 = unlabelled."""
    probabilities: NDArray[np.float64]
    """(N, C) out-of-fold posteriors, each by a fusion that saw neither clip nor speaker; NaN where a clip was not tested."""
    valence: NDArray[np.float64]
    """(N,) out-of-fold valence; NaN where not tested, or fitted without."""
    scores: Scores
    """Of all tested clips together, with intervals where speakers are known."""
    folds: tuple[Scores, ...]
    """Of every fold, without intervals."""
    confusion: NDArray[np.int64]
    """(C, C) counts over all tested clips: rows true, columns predicted."""

    @property
    def predictions(self) -> NDArray[Any]:
        """Predicted class names of the tested clips, in their order: `classes[probabilities.argmax(axis=1)]` where tested."""
        return np.asarray(self.classes[self.probabilities[self.fold >= 0].argmax(axis=1)])

    def table(self) -> pandas.DataFrame:
        """Scores by fold, and of all (`pooled`), as a DataFrame: columns clips, accuracy, uar, waf, macro_f1."""
        import pandas

        rows = [*self.folds, self.scores]
        names = [*(f"fold {number}" for number in range(len(self.folds))), "pooled"]
        return pandas.DataFrame([{"clips": row.clips} | row.as_dict() for row in rows], index=names)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        lines = [f"{'':<10}{'clips':>6}" + "".join(f"{name:>10}" for name in SCORES)]
        named = [(f"fold {number}", row) for number, row in enumerate(self.folds)]
        for name, row in [*named, ("pooled", self.scores)]:
            values = "".join(f"{value:>10.3f}" for value in row.as_dict().values())
            lines.append(f"{name:<10}{row.clips:>6}{values}")
        for end, name in enumerate(("low", "high")):
            if ends := self.scores.intervals:
                lines.append(f"{f'  {name}':<16}" + "".join(f"{ends[key][end]:>10.3f}" for key in SCORES))
        if self.scores.intervals:
            lines.append(
                f"low, high: {100 * self.scores.confidence:g} % interval, {self.scores.resampled} resampled"
            )
        return "\n".join(lines)


def cross_validate(
    fusion: Fusion,
    features: Any,
    labels: Any,
    speakers: Any = None,
    *,
    folds: Any = 5,
    weights: Any = None,
    valence: Any = None,
) -> CrossValidation:
    """Fit a fresh copy of `fusion` for every fold, on the other folds, and score it on the fold.

    A fold's clips, and unless folds are given the speakers of its clips, take part in nothing: neither in training nor in the
    choice of the epoch, for which each copy holds out `validation_share` of its own training clips, again in whole speakers.

    Args:
        fusion: options; it is not changed.
        features: of N clips, as for `Fusion.fit`.
        labels: (N,) or soft (N, C), as for `Fusion.fit`; a soft label is scored by its likeliest class.
        speakers: (N,) who speaks; None where unknown. Without: folds are dealt clip by clip, and a warning says so.
        folds: number of folds, of even sizes and classes as far as whole speakers allow; or (N,) the fold of every clip, where
            -1 or None stands for clips that are trained on in every fold and tested in none.
        weights: (N,) weight of each clip in the losses.
        valence: (N,) as for `Fusion.fit`.

    Raises:
        ConfigError: as `Fusion.fit`; fewer than two folds.

    Example:
        >>> result = mer.cross_validate(mer.Fusion("late"), {"acoustic": x, "visual": y}, labels, speakers)
        >>> print(result); result.scores.waf, result.scores.intervals["waf"]
    """
    if not isinstance(fusion, Fusion):
        raise ConfigError(f"cross_validate: expected a mer.Fusion first, found {type(fusion).__name__}")
    columns = {"labels": labels, "speakers": speakers, "folds": folds}
    same_index([*named_streams(features).items(), *columns.items()])
    tables = stream_tables(features)
    read = read_labels(labels, len(next(iter(tables.values())).clip_ids), fusion.classes)
    examples = read_examples(read, speakers, weights, valence)
    seed = fusion.seed
    fold, numbers = _folds(folds, examples, seed)
    tested = read.known & (fold >= 0)
    _warn_of_speakers(speakers, examples, fold, tested)
    probabilities = np.full((len(examples), len(read.classes)), np.nan)
    answered_valence = np.full(len(examples), np.nan)
    for number in numbers:
        held = np.flatnonzero(tested & (fold == number))
        train = np.flatnonzero(read.known & (fold != number))
        fitted = _fitted(fusion, tables, examples, read, train)
        # a stream that no training clip of this fold has is in none of its answers
        shown = {name: rows_of(tables[name], held) for name in fitted.streams_}
        probabilities[held] = fitted.predict_proba(shown)
        if fitted.predicts_valence:
            answered_valence[held] = fitted.predict_valence(shown)
    return _result(read, examples, np.where(tested, fold, -1), probabilities, answered_valence)


def _result(
    labels: Labels,
    examples: Examples,
    fold: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    valence: NDArray[np.float64],
) -> CrossValidation:
    rows = np.flatnonzero(fold >= 0)
    predicted = np.full(len(fold), -1, dtype=np.int64)
    predicted[rows] = probabilities[rows].argmax(axis=1)
    classes = len(labels.classes)

    def scored(chosen: NDArray[np.int64], speakers: list[str | None] | None) -> Scores:
        return scores_of(labels.index[chosen], predicted[chosen], speakers, classes)

    who = [examples.speaker[row] for row in rows]
    return CrossValidation(
        classes=labels.classes,
        fold=fold,
        labels=labels.index,
        probabilities=probabilities,
        valence=valence,
        scores=scored(rows, who if any(who) else None),
        folds=tuple(scored(np.flatnonzero(fold == number), None) for number in np.unique(fold[rows])),
        confusion=confusion(labels.index[rows], predicted[rows], classes),
    )


def _fitted(
    fusion: Fusion,
    tables: dict[str, StreamTable],
    examples: Examples,
    labels: Labels,
    train: NDArray[np.int64],
) -> Fusion:
    """A copy fitted on these clips alone; what it holds out to choose by is drawn among them."""
    copy = Fusion(**fusion.get_params() | {"classes": labels.classes.tolist()})
    inside = examples.subset(train)
    shown = {name: rows_of(table, train) for name, table in tables.items()}
    usable = np.logical_or.reduce([table.present for table in shown.values()])
    network = copy.holds_out
    chosen = held_out(inside, usable, fusion.validation_share, fusion.seed) if network else False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of speakers, which was said once
        return copy.fit(
            {name: table for name, table in shown.items() if table.present.any()},
            labels.classes[inside.emotion] if inside.target is None else inside.target,
            speakers=None if network else list(inside.speaker),
            weights=inside.weight,
            valence=inside.valence,
            validation=chosen,
        )


def _folds(folds: Any, examples: Examples, seed: int) -> tuple[NDArray[np.int64], range]:
    """(N,) fold of every clip, -1 for those that are never tested, and the numbers of the folds."""
    known = np.flatnonzero(examples.emotion >= 0)
    fold = np.full(len(examples), -1, dtype=np.int64)
    if isinstance(folds, (int, np.integer)):
        inside = examples.subset(known)
        fold[known] = assign_folds(inside.speaker, inside.clip_ids, inside.emotion, int(folds), seed)
        return fold, range(int(fold.max()) + 1)
    values = [
        None if is_missing(value) or value == -1 else value for value in column("folds", folds, len(examples))
    ]
    occurring = {
        value for row, value in enumerate(values) if value is not None and examples.emotion[row] >= 0
    }
    if len({isinstance(value, str) for value in occurring}) > 1:
        raise ConfigError("folds: expected strings or numbers, found both")
    names = sorted(occurring)
    if len(names) < 2:
        raise ConfigError(
            f"folds: expected a number, or an array of at least 2 folds with labelled clips, found "
            f"{list(map(str, names))}"
        )
    number = {name: index for index, name in enumerate(names)}
    for row, value in enumerate(values):
        fold[row] = -1 if value is None else number.get(value, -1)
    return fold, range(len(names))


def _warn_of_speakers(
    speakers: Any, examples: Examples, fold: NDArray[np.int64], tested: NDArray[np.bool_]
) -> None:
    if speakers is None:
        warnings.warn(_NO_SPEAKERS, UserWarning, stacklevel=3)
        return
    folds_of: dict[str, set[int]] = {}
    for row in np.flatnonzero(examples.emotion >= 0):
        if (who := examples.speaker[row]) is not None:
            folds_of.setdefault(who, set()).add(int(fold[row]))
    cut = sorted(who for who, numbers in folds_of.items() if len(numbers) > 1 and numbers != {-1})
    if cut and tested.any():
        warnings.warn(
            f"folds: {len(cut)} speakers are in several folds, first {cut[0]!r}: the scores are too good for new speakers",
            UserWarning,
            stacklevel=3,
        )
