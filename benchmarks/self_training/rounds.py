"""RAVDESS with labels of four training speakers only: what rounds of pseudo-labels on the other training speakers give.

    python -m benchmarks.self_training [--quick] [--json PATH] [--draws 2] [--corpus PATH] [--encoder SOURCE]

Published speaker-independent folds; in each, two women and two men of the training speakers keep their labels (`--draws`
choices), the others are unlabelled. Voters are kernel machines on frozen features: joint (speech and action units), speech,
action units. A round: thresholds for every class from votes on held-out labelled speakers (each left out in turn); agreed and
confident votes on the unlabelled speakers become pseudo-labels of half weight (speakers in two halves, each labelled by models
that did not learn from its own pseudo-labels); everything is trained again from scratch. Policy (agreement, precision or share
of a class) and number of rounds are chosen by leaving each labelled speaker out in turn, the whole of the rounds repeated
without it. Test folds are
predicted once a round; hidden labels are read for the printed precision alone.

JSON keys: supervised, round_1, round_2, round_3 (accuracy, mean over draws and folds, all rounds made), chosen (at the number of
rounds chosen inside), gain, gain_low, gain_high (chosen minus supervised, 95 %, speakers resampled), precision, coverage (of the
last round's pseudo-labels), precision_<class>; those of the label shift made by subsampling test folds (shift_*,
supervised_shift_*) are in the docstring of `benchmarks.self_training.shift`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    from benchmarks.ravdess.streams import Corpus
    from benchmarks.self_training.shift import ShiftCase
    from mer.examples import Examples
    from mer.selftraining.config import AgreementConfig

VOTERS = ("joint", "speech", "face")
ROUNDS = 3
PSEUDO_WEIGHT = 0.5
Mask = NDArray[np.bool_]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Rounds:
    """What rounds 0 (supervised) to the last predict, and their pseudo-labels."""

    predicted: list[NDArray[np.int64]]
    """(asked,) by round."""
    rows: list[NDArray[np.int64]]
    """Pseudo-labelled rows by round; none in round 0."""
    labels: list[NDArray[np.int64]]
    logits: list[Logits]
    """(asked, C) by round, of the joint voter."""


@dataclass(frozen=True)
class HeldOut:
    """What the chosen policy says of the labelled speakers, each left out in turn with the whole of the rounds repeated."""

    rows: NDArray[np.int64]
    logits: list[Logits]
    """(rows, C) by round."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--draws", type=int, default=2, help="choices of the four labelled speakers")
    chosen, corpus = ravdess_of(options)
    figures = measured(corpus, 1 if chosen.quick else chosen.draws)
    write_figures(chosen.json, figures)


def ravdess_of(options: ArgumentParser, **reading: Any) -> tuple[Namespace, Corpus]:
    """The command line with the options of RAVDESS added, and the corpus that it names; `reading`: for `load_corpus`."""
    options.add_argument("--corpus", default="../shared/data/ravdess", help="folder with labels.csv, audio/")
    options.add_argument(
        "--encoder", default="../shared/models/moonshine-tiny-encoder", help="folder or wheel:NAME"
    )
    options.add_argument("--features", type=Path, default=Path(".mer/ravdess"), help="kept features")
    chosen = options.parse_args()
    if not (Path(chosen.corpus) / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    from benchmarks.ravdess.streams import load_corpus

    return chosen, load_corpus(
        Path(chosen.corpus), chosen.encoder, chosen.features, 1, quick=chosen.quick, **reading
    )


def policies() -> list[AgreementConfig]:
    """What is chosen among."""
    from mer.selftraining.config import AgreementConfig

    by_precision = [AgreementConfig(agreeing=agreeing, precision=0.7) for agreeing in (1, 2)]
    return by_precision + [
        AgreementConfig(agreeing=agreeing, share=share) for agreeing in (1, 2) for share in (0.5, 0.8)
    ]


def told(policy: AgreementConfig) -> str:
    """How it selects, in words."""
    return f"precision {policy.precision}" if policy.share is None else f"share {policy.share}"


def measured(corpus: Corpus, draws: int) -> dict[str, Figure]:
    """All folds and draws, and their figures."""
    from benchmarks.self_training.shift import shift_case, shift_figures
    from mer.evaluation.intervals import paired_differences, widened
    from mer.evaluation.metrics import accuracy

    examples, classes = corpus.examples, len(corpus.classes)
    family = voters(corpus)
    truth, speakers = [], []
    by_round: list[list[NDArray[np.int64]]] = [[] for _ in range(ROUNDS + 1)]
    at_choice, picked, right = [], [], []
    candidates = 0
    cases: dict[str, list[ShiftCase]] = {"": [], "supervised_": []}
    for draw in range(draws):
        for fold in sorted({int(fold) for fold in examples.fold}):
            train = examples.fold != fold
            labelled = train & np.isin(np.array(examples.speaker), labelled_speakers(examples, train, draw))
            unlabelled = train & ~labelled
            policy, rounds, held = chosen_policy(family, examples, labelled, unlabelled, classes)
            asked = np.flatnonzero(examples.fold == fold)
            made = self_trained(family, examples, labelled, unlabelled, asked, policy, classes)
            for number, predicted in enumerate(made.predicted):
                by_round[number].append(predicted)
            at_choice.append(made.predicted[rounds])
            for name, at in (("", rounds), ("supervised_", 0)):
                cases[name].append(shift_case(examples, held.rows, held.logits[at], asked, made.logits[at]))
            truth.append(examples.emotion[asked])
            speakers += [examples.speaker[i] for i in asked]
            picked.append(made.labels[-1])
            right.append(made.labels[-1] == examples.emotion[made.rows[-1]])
            candidates += int(unlabelled.sum())
            scores = [float((p == examples.emotion[asked]).mean()) for p in made.predicted]
            print(
                f"draw {draw}, fold {fold}: accuracy by round {' '.join(f'{s:.3f}' for s in scores)}; chosen {rounds} rounds, "
                f"{policy.agreeing} of {len(VOTERS)} agree, {told(policy)}; {len(right[-1])} pseudo-labels, "
                f"{right[-1].mean() if len(right[-1]) else float('nan'):.3f} right",
                flush=True,
            )
    known = np.concatenate(truth)
    figures: dict[str, Figure] = {
        name: float((np.concatenate(own) == known).mean())
        for name, own in zip(("supervised", "round_1", "round_2", "round_3"), by_round, strict=True)
    }
    figures["chosen"] = float((np.concatenate(at_choice) == known).mean())
    paired = paired_differences(
        known, np.concatenate(at_choice), np.concatenate(by_round[0]), speakers, classes, score=accuracy
    )
    low, high = np.quantile(widened(paired.samples, paired.groups), [0.025, 0.975])
    every, sound = np.concatenate(picked), np.concatenate(right)
    figures |= {"gain": paired.point, "gain_low": float(low), "gain_high": float(high)}
    figures |= {"precision": float(sound.mean()), "coverage": len(sound) / candidates}
    for kind, name in enumerate(corpus.classes):
        if (every == kind).any():
            figures[f"precision_{name}"] = float(sound[every == kind].mean())
    for name, own_cases in cases.items():
        shifted = shift_figures(own_cases, corpus.classes)
        figures |= {f"{name}{key}": value for key, value in shifted.items()}
    print("\n" + "\n".join(f"{name:42}{value:.4f}" for name, value in figures.items()), flush=True)
    return figures


def voters(corpus: Corpus) -> Any:
    """Kernel machines on speech and action units, on speech, and on action units."""
    from benchmarks.ravdess.streams import FACE, SOUND, layer
    from mer.ensemble.kernel import KernelFamily, KernelMember

    speech = {layer(index): 0.25 for index in (1, 2, 3, 4)} | {SOUND: 0.05}
    members = {
        "joint": KernelMember(streams=speech | {FACE: 0.1}, width=0.5),
        "speech": KernelMember(streams=speech, width=0.5),
        "face": KernelMember(streams={FACE: 1.0}, width=0.3, penalty=0.3),
    }
    return KernelFamily(corpus.streams, members, len(corpus.classes))


def labelled_speakers(examples: Examples, train: Mask, draw: int) -> list[str]:
    """Two women and two men of the training speakers (RAVDESS: actors of even number are women)."""
    names = sorted({str(examples.speaker[i]) for i in np.flatnonzero(train)})
    rng = np.random.default_rng(200 + draw)
    chosen: list[str] = []
    for rest in (0, 1):
        own = [name for name in names if int("".join(c for c in name if c.isdigit())) % 2 == rest]
        chosen += [str(name) for name in rng.choice(own, 2, replace=False)]
    return chosen


def chosen_policy(
    family: Any, examples: Examples, labelled: Mask, unlabelled: Mask, classes: int
) -> tuple[AgreementConfig, int, HeldOut]:
    """Policy and number of rounds with the best accuracy on labelled speakers left out in turn; none where none helps.

    What the chosen policy said of those speakers comes with it.
    """
    speakers = sorted({str(examples.speaker[i]) for i in np.flatnonzero(labelled)})
    scores, held = {}, list[HeldOut]()
    for number, policy in enumerate(policies()):
        right = np.zeros(ROUNDS + 1)
        rows, logits = [], []
        for speaker in speakers:
            out = labelled & (np.array(examples.speaker) == speaker)
            asked = np.flatnonzero(out)
            made = self_trained(family, examples, labelled & ~out, unlabelled, asked, policy, classes)
            right += [float((p == examples.emotion[asked]).sum()) for p in made.predicted]
            rows.append(asked)
            logits.append(made.logits)
        held.append(HeldOut(np.concatenate(rows), [np.concatenate(own) for own in zip(*logits, strict=True)]))
        for rounds, count in enumerate(right):
            scores[number, rounds] = (count, -rounds)
    best = max(scores, key=lambda key: scores[key])
    return policies()[best[0]], best[1], held[best[0]]


def self_trained(
    family: Any,
    examples: Examples,
    labelled: Mask,
    unlabelled: Mask,
    asked: NDArray[np.int64],
    policy: AgreementConfig,
    classes: int,
) -> Rounds:
    """All rounds; labels outside of `labelled` are not read."""
    from mer.selftraining.agreement import Vote, selected, thresholds_by_precision, vote

    truth = np.where(labelled, examples.emotion, -1)
    pool = np.flatnonzero(unlabelled)
    names = np.array(examples.speaker)
    others = sorted(set(names[pool].tolist()))
    halves = [np.flatnonzero(unlabelled & np.isin(names, others[part::2])) for part in (0, 1)]
    pseudo = np.full(len(truth), -1, dtype=np.int64)
    first = posteriors_of(family, examples, truth, pseudo, asked)[0]
    result = Rounds([first.predicted], [], [], [first.logits])
    for _ in range(ROUNDS):
        held = [
            (
                rows,
                posteriors_of(
                    family, examples, np.where(np.isin(np.arange(len(truth)), rows), -1, truth), pseudo, rows
                ),
            )
            for rows in (
                np.flatnonzero(labelled & (names == speaker))
                for speaker in sorted(set(names[labelled].tolist()))
            )
        ]
        together = Vote.joined([vote(voted) for _, voted in held])
        thresholds = np.full(classes, np.inf)
        if policy.share is None:
            known = np.concatenate([truth[rows] for rows, _ in held])
            thresholds = thresholds_by_precision(together, known, classes, policy)
        again = np.full(len(truth), -1, dtype=np.int64)
        for number, rows in enumerate(halves):
            from_other = np.full(len(truth), -1, dtype=np.int64)
            from_other[halves[1 - number]] = pseudo[halves[1 - number]]
            said = vote(posteriors_of(family, examples, truth, from_other, rows))
            taken = selected(said, thresholds, policy, np.zeros(len(rows), dtype=bool))
            again[rows[taken]] = said.emotion[taken]
        pseudo = again
        result.rows.append(np.flatnonzero(pseudo >= 0))
        result.labels.append(pseudo[pseudo >= 0])
        said_now = posteriors_of(family, examples, truth, pseudo, asked)[0]
        result.predicted.append(said_now.predicted)
        result.logits.append(said_now.logits)
    return result


def posteriors_of(
    family: Any,
    examples: Examples,
    truth: NDArray[np.int64],
    pseudo: NDArray[np.int64],
    asked: NDArray[np.int64],
) -> Sequence[Any]:
    """Posteriors of every voter, trained on true and pseudo-labels."""
    known = np.where(truth >= 0, truth, pseudo)
    known[asked] = -1
    weight = np.where(truth >= 0, 1.0, PSEUDO_WEIGHT).astype(np.float32)
    own = replace(examples, emotion=known, weight=weight)
    found = family.predict(own, asked, VOTERS)
    return [found[name] for name in VOTERS]


if __name__ == "__main__":
    main()
