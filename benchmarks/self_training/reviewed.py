"""RAVDESS with labels of four training speakers: what is a reviewed clip worth, by the order of the queue?

    python -m benchmarks.self_training.reviewed [--quick] [--json PATH] [--draws 2] [--seeds 3] [--corpus PATH] [--encoder SOURCE]

Published speaker-independent folds; in each, two women and two men of the training speakers keep their labels (`--draws`
choices), the clips of the others wait for a reviewer, who is always right (the hidden label). The model is the joint kernel
machine of `benchmarks.self_training.rounds` (speech, action units), its temperature fitted on labelled speakers left out in turn,
as the product's is out of fold. The queue is ordered once, as that of a model version is: by uncertainty (entropy), by influence
(expected change), or at random (`--seeds` orders). After 10, 20 ... reviewed clips the model is fitted again on all labels. Test
folds are predicted once a point and choose nothing. Intervals resample speakers (95 %), differences are paired.

In batches (`uncertainty_in_tens`): the queue is ordered anew by the model after every 10 reviewed clips, as a refresh would.

JSON keys: <order>_<k> (accuracy after k reviewed clips), <order>_<k>_low, _high; waf_<order>_<k>; gain_<order> (accuracy at 50
minus that of random order), _low, _high; random_equal (random clips that give what 50 by uncertainty give, interpolated; -1: more
than were reviewed), worth (random_equal / 50); named_right (share of the reviewed 50 by uncertainty that the model had named
rightly).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.self_training.rounds import labelled_speakers, ravdess_of, voters

if TYPE_CHECKING:
    from benchmarks.ravdess.streams import Corpus
    from mer.examples import Examples

REVIEWED = 50
STEP = 10
MOST_RANDOM = 200
"""Random clips that are reviewed: so many it may take to reach what 50 chosen ones give."""
VOTER = "joint"
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """A fold and a draw of labelled speakers."""

    family: Any
    examples: Examples
    labelled: Rows
    pool: Rows
    asked: Rows

    def fitted(self, reviewed: Rows, asked: Rows) -> Any:
        """Posteriors for `asked` of the model that learnt the labelled and the reviewed clips."""
        known = np.full(len(self.examples), -1, dtype=np.int64)
        learnt = np.concatenate([self.labelled, reviewed])
        known[learnt] = self.examples.emotion[learnt]
        known[asked] = -1
        return self.family.predict(replace(self.examples, emotion=known), asked, (VOTER,))[VOTER]

    def probabilities(self, reviewed: Rows, asked: Rows) -> NDArray[np.float64]:
        """Calibrated ones, by what the labelled speakers left out in turn say."""
        from mer.evaluation.calibration import fit_temperature

        names = np.array(self.examples.speaker)
        logits, truth = [], []
        for speaker in sorted(set(names[self.labelled].tolist())):
            out = self.labelled[names[self.labelled] == speaker]
            logits.append(self.fitted(reviewed, out).logits)
            truth.append(self.examples.emotion[out])
        temperature = fit_temperature(np.concatenate(logits), np.concatenate(truth))
        shares: NDArray[np.float64] = self.fitted(reviewed, asked).probabilities(temperature)
        return shares


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--draws", type=int, default=2, help="choices of the four labelled speakers")
    options.add_argument("--seeds", type=int, default=3, help="random orders of each fold and draw")
    from mer.ensemble.varied import PLAIN

    chosen, corpus = ravdess_of(options, speeds={PLAIN: 1.0})
    draws, seeds = (1, 1) if chosen.quick else (chosen.draws, chosen.seeds)
    write_figures(chosen.json, measured(corpus, draws, seeds))


def worlds(corpus: Corpus, draws: int) -> list[World]:
    """Every fold and draw."""
    examples, family = corpus.examples, voters(corpus)
    found = []
    for draw in range(draws):
        for fold in sorted({int(fold) for fold in examples.fold}):
            train = examples.fold != fold
            own = np.isin(np.array(examples.speaker), labelled_speakers(examples, train, draw))
            rows = [np.flatnonzero(mask) for mask in (train & own, train & ~own, examples.fold == fold)]
            found.append(World(family, examples, *rows))
    return found


def orders(world: World, seeds: Sequence[int]) -> dict[str, Rows]:
    """Name -> the pool in the order in which it is reviewed; random ones as `random/SEED`."""
    from mer.review.orders import entropy, expected_change, ranked

    shares = world.probabilities(np.zeros(0, dtype=np.int64), world.pool)
    names = [world.examples.clip_ids[row] for row in world.pool]
    none = np.full(len(names), -1, dtype=np.int64)
    made = {
        "uncertainty": world.pool[ranked(names, entropy(shares))],
        "influence": world.pool[ranked(names, expected_change(shares, none, np.ones(len(names))))],
    }
    for seed in seeds:
        made[f"random/{seed}"] = np.random.default_rng(seed).permutation(world.pool)
    made["uncertainty_in_tens"] = _in_tens(world)
    return made


def _in_tens(world: World) -> Rows:
    """The first 50 by uncertainty, ordered anew after every 10."""
    from mer.review.orders import entropy, ranked

    taken = np.zeros(0, dtype=np.int64)
    while len(taken) < REVIEWED:
        waiting = np.setdiff1d(world.pool, taken)
        names = [world.examples.clip_ids[row] for row in waiting]
        first = waiting[ranked(names, entropy(world.probabilities(taken, waiting)))[:STEP]]
        taken = np.concatenate([taken, first])
    return taken


def measured(corpus: Corpus, draws: int, seeds: int) -> dict[str, Figure]:
    """All curves and their figures."""
    truth: list[NDArray[np.int64]] = []
    speakers: list[str | None] = []
    said: defaultdict[tuple[str, int], list[NDArray[np.int64]]] = defaultdict(list)
    right: list[float] = []
    for number, world in enumerate(worlds(corpus, draws)):
        made = orders(world, range(1000 * number, 1000 * number + seeds))
        for name, order in made.items():
            most = MOST_RANDOM if name.startswith("random") else REVIEWED
            kind, _, seed = name.partition("/")
            key = f"random/{int(seed) % 1000}" if seed else kind
            for count in range(0, most + 1, STEP):
                said[key, count].append(world.fitted(order[:count], world.asked).predicted)
        first = made["uncertainty"][:REVIEWED]
        named = world.fitted(np.zeros(0, dtype=np.int64), first).predicted
        right.append(float((named == world.examples.emotion[first]).mean()))
        truth.append(world.examples.emotion[world.asked])
        speakers += [world.examples.speaker[row] for row in world.asked]
        scores = " ".join(
            f"{kind} {float((said[kind, REVIEWED][-1] == truth[-1]).mean()):.3f}"
            for kind in ("uncertainty", "random/0")
        )
        start = float((said["uncertainty", 0][-1] == truth[-1]).mean())
        print(f"{number + 1}: accuracy {start:.3f}, after {REVIEWED} reviewed clips {scores}", flush=True)
    predicted = {key: np.concatenate(own) for key, own in said.items()}
    figures = curves(np.concatenate(truth), predicted, speakers, len(corpus.classes))
    figures["named_right"] = float(np.mean(right))
    print("\n" + "\n".join(f"{name:36}{value:.4f}" for name, value in figures.items()), flush=True)
    return figures


def curves(
    truth: NDArray[np.int64],
    predicted: Mapping[tuple[str, int], NDArray[np.int64]],
    speakers: Sequence[str | None],
    classes: int,
) -> dict[str, Figure]:
    """Figures of curves; random orders are averaged, every clip counting once for each.

    Args:
        truth: (N,) classes of all test clips, draws one after the other.
        predicted: (order, reviewed clips) -> (N,) classes; random orders as `random/0 ...`.
        speakers: of the clips.
        classes: how many.
    """
    from mer.evaluation.intervals import bootstrap_interval, paired_differences
    from mer.evaluation.metrics import accuracy, waf

    seeds = sorted(name for name, count in predicted if count == 0 and name.startswith("random/"))
    kinds = [name for name, count in predicted if count == 0 and not name.startswith("random/")]

    def repeated(kind: str, count: int) -> NDArray[np.int64]:
        own = seeds if kind == "random" else [kind] * len(seeds)
        return np.concatenate([predicted[name, count] for name in own])

    known, who = np.tile(truth, len(seeds)), [*speakers] * len(seeds)
    figures: dict[str, Figure] = {}
    for kind in (*kinds, "random"):
        counts = sorted(
            count for name, count in predicted if name == (seeds[0] if kind == "random" else kind)
        )
        for count in counts:
            found = repeated(kind, count)
            interval = bootstrap_interval(known, found, who, classes, score=accuracy)
            figures[f"{kind}_{count}"] = interval.point
            figures |= {f"{kind}_{count}_low": interval.low, f"{kind}_{count}_high": interval.high}
            figures[f"waf_{kind}_{count}"] = bootstrap_interval(known, found, who, classes, score=waf).point
    for kind in kinds:
        pair = paired_differences(
            known, repeated(kind, REVIEWED), repeated("random", REVIEWED), who, classes, score=accuracy
        )
        low, high = pair.interval(0.95)
        figures |= {f"gain_{kind}": pair.point, f"gain_{kind}_low": low, f"gain_{kind}_high": high}
    random = {
        count: float((repeated("random", count) == known).mean()) for count in range(0, MOST_RANDOM + 1, STEP)
    }
    equal = reached(random.__getitem__, float((repeated("uncertainty", REVIEWED) == known).mean()))
    figures |= {"random_equal": equal, "worth": equal / REVIEWED if equal >= 0 else -1.0}
    return figures


def reached(score: Callable[[int], float], goal: float) -> float:
    """Random clips after which `score` reaches the goal for good, between points by a line; -1: not by the last point.

    For good: a point above the goal that others below follow is chance.
    """
    counts = list(range(0, MOST_RANDOM + 1, STEP))
    below = [count for count in counts if score(count) < goal]
    if not below:
        return 0.0
    last = below[-1]
    if last == counts[-1]:
        return -1.0
    low, high = score(last), score(last + STEP)
    return last + STEP * (goal - low) / (high - low)


if __name__ == "__main__":
    main()
