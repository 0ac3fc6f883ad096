"""RAVDESS: what 1, 3, 10 clips of a new speaker, without labels, give a system that was fitted on others (`mer.domain.speakers`).

    python -m benchmarks.ravdess.enrolment [--folds inner|outer] [--kind kernel|searched] [--encoder PATH ...] [--json PATH]

`--folds inner` (the default) tests on inner folds of the training speakers of published fold 0, by which everything here was
chosen; `outer` on the published folds, which are scored once. Of every tested speaker n clips are drawn (five times) and not
scored; the others are answered plainly and with what the n clips tell. `--kind kernel` has the options that served before
(hidden states 1 to 4 at .25 each, loudness and length .05, units .1, width .5); `searched` chooses by inner folds. Further
encoders (`--encoder` again) are read beside the first, hidden states 2 to 5; `--one-speed` leaves the speeds .9 and 1.1 out.

JSON keys, S = speech, audiovisual, n = 1, 3, 10: `S_n_plain`, `S_n_enrolled` (accuracy over all scored clips), `S_n_difference`,
`_low`, `_high` (paired, 95 %, speakers resampled), and `S_n_accuracy_mean` (enrolled, mean over folds). `--quick`: one sentence,
no slow variant, one draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.ravdess.streams import FACE, SOUND, SPEEDS, Corpus, layer, load_corpus
from mer.ensemble.varied import PLAIN
from mer.stream_tables import FeatureTable

if TYPE_CHECKING:
    from mer.systems.fitted import FittedSystem

COUNTS, DRAWS = (1, 3, 10), 5
SPEECH, UNITS = "speech", "units"
INNER = 4
Rows = NDArray[np.int64]


@dataclass
class Scored:
    """Answers of one system and number of clips, pooled over folds and draws."""

    truth: list[Rows] = field(default_factory=list)
    speaker: list[str] = field(default_factory=list)
    plain: list[Rows] = field(default_factory=list)
    enrolled: list[Rows] = field(default_factory=list)
    folds: dict[int, list[float]] = field(default_factory=dict)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, default=Path("../shared/data/ravdess"))
    options.add_argument("--encoder", action="append", help="speech encoder; again: one beside it")
    options.add_argument(
        "--kept", type=Path, default=Path(".mer/benchmarks/ravdess"), help="folder of extracted features"
    )
    options.add_argument("--folds", choices=("inner", "outer"), default="inner")
    options.add_argument("--kind", choices=("kernel", "searched"), default="kernel")
    options.add_argument("--one-speed", action="store_true", help="the recordings as they are alone")
    chosen = options.parse_args()
    speeds = {PLAIN: 1.0} if chosen.one_speed else SPEEDS
    encoders = chosen.encoder or ["../shared/models/moonshine-tiny-encoder"]
    corpora = [
        load_corpus(chosen.corpus, one, chosen.kept, 1, quick=chosen.quick, speeds=speeds) for one in encoders
    ]
    tables = states(corpora)
    draws = 1 if chosen.quick else DRAWS
    figures: dict[str, Figure] = {}
    for name in ("speech", "audiovisual"):
        read = {key: table for key, table in tables.items() if name == "audiovisual" or key != UNITS}
        results = {count: Scored() for count in COUNTS}
        for number, train, test in parts(corpora[0], chosen.folds):
            system = fitted(corpora[0], read, train, chosen.kind)
            for count, result in results.items():
                score(corpora[0], read, (number, train, test), system, count, draws, result)
        for count, result in results.items():
            figures |= {
                f"{name}_{count}_{key}": value for key, value in figures_of(corpora[0], result).items()
            }
            shown = {
                key: round(float(str(figures[f"{name}_{count}_{key}"])), 4)
                for key in ("plain", "enrolled", "difference", "low", "high", "accuracy_mean")
            }
            print(
                f"{name:<12} {count:>3} clips  "
                + "  ".join(f"{key} {value:.4f}" for key, value in shown.items()),
                flush=True,
            )
    write_figures(chosen.json, figures)


def states(corpora: Sequence[Corpus]) -> dict[str, FeatureTable]:
    """Streams at the level "states": (N, V, S, D)."""
    ids = corpora[0].examples.clip_ids
    tables = {}
    for place, corpus in enumerate(corpora):
        names = [layer(index) for index in range(sum(name.startswith("layer") for name in corpus.streams))]
        values = np.stack([_variants(corpus, name) for name in names], axis=2)
        tables[SPEECH if not place else f"{SPEECH}{place + 1}"] = FeatureTable(
            ids, values, np.ones(len(ids), bool)
        )
    for key, name in ((UNITS, FACE), ("sound", SOUND)):
        tables[key] = FeatureTable(ids, _variants(corpora[0], name)[:, :, None], np.ones(len(ids), bool))
    return tables


def _variants(corpus: Corpus, name: str) -> NDArray[np.float32]:
    """(N, V, D)"""
    return np.stack(list(corpus.streams[name].values.values()), axis=1)


def parts(corpus: Corpus, folds: str) -> Iterator[tuple[int, Rows, Rows]]:
    """Number, training clips and tested clips of every fold."""
    fold, speaker = corpus.examples.fold, np.array(corpus.examples.speaker)
    if folds == "outer":
        for number in np.unique(fold).tolist():
            yield number, np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        return
    inside = np.flatnonzero(fold != 0)
    people = np.random.default_rng(0).permutation(np.unique(speaker[inside]))
    for number, held_out in enumerate(np.array_split(people, INNER)):
        tested = np.isin(speaker[inside], held_out)
        yield number, inside[~tested], inside[tested]


def fitted(corpus: Corpus, tables: Mapping[str, FeatureTable], train: Rows, kind: str) -> FittedSystem:
    """The system of some training clips."""
    from mer.systems.kinds import FitData, FitRun, fit_system

    mask = np.zeros(len(corpus.examples), bool)
    mask[train] = True
    options: dict[str, Any] = {}
    if kind == "kernel":
        weights = {SPEECH: 1.0, f"{SPEECH}2": 1.0, UNITS: 0.1, "sound": 0.05}
        windows = {SPEECH: (1, 4), f"{SPEECH}2": (2, 5)}
        options = {
            "streams": {name: weights[name] for name in tables},
            "states": {name: window for name, window in windows.items() if name in tables},
        }
    data = FitData({"states": dict(tables)}, corpus.examples, mask, np.zeros_like(mask), corpus.classes)
    return fit_system(kind, data, options, FitRun())


def score(
    corpus: Corpus,
    tables: Mapping[str, FeatureTable],
    part: tuple[int, Rows, Rows],
    system: FittedSystem,
    count: int,
    draws: int,
    result: Scored,
) -> None:
    """Answer the tested speakers' clips that are not among their own `count` drawn ones."""
    from mer.domain.speakers import fit_speakers

    number, train, test = part
    speaker, emotion = np.array(corpus.examples.speaker), corpus.examples.emotion
    known = fit_speakers({"states": rows_of(tables, train)}, speaker[train].tolist())
    generator = np.random.default_rng([number, count])
    answers = dict(
        zip(
            test.tolist(),
            system.posteriors({"states": rows_of(tables, test)}).predicted.tolist(),
            strict=True,
        )
    )
    for _ in range(draws):
        for person in np.unique(speaker[test]):
            everything = test[speaker[test] == person]
            own = generator.choice(everything, count, replace=False)
            others = np.setdiff1d(everything, own)
            enrolment = known.enrol({"states": rows_of(tables, own)})
            moved = enrolment.apply({"states": rows_of(tables, others)})
            enrolled = system.posteriors(moved).predicted
            result.truth.append(emotion[others])
            result.speaker += [str(person)] * len(others)
            result.plain.append(np.array([answers[row] for row in others.tolist()]))
            result.enrolled.append(enrolled)
            result.folds.setdefault(number, []).append(float((enrolled == emotion[others]).mean()))


def rows_of(tables: Mapping[str, FeatureTable], rows: Rows) -> dict[str, FeatureTable]:
    """The tables of some clips."""
    return {
        name: FeatureTable(
            tuple(table.clip_ids[row] for row in rows), table.values[rows], table.present[rows]
        )
        for name, table in tables.items()
    }


def figures_of(corpus: Corpus, result: Scored) -> dict[str, Figure]:
    """Accuracies and their paired difference."""
    from mer.evaluation.intervals import paired_differences, widened
    from mer.evaluation.metrics import accuracy

    truth, plain, enrolled = (np.concatenate(one) for one in (result.truth, result.plain, result.enrolled))
    paired = paired_differences(truth, enrolled, plain, result.speaker, len(corpus.classes), score=accuracy)
    low, high = np.quantile(widened(paired.samples, paired.groups), [0.025, 0.975])
    return {
        "plain": paired.second, "enrolled": paired.first, "difference": paired.point,
        "low": float(low), "high": float(high),
        "accuracy_mean": fmean(fmean(one) for one in result.folds.values()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
