"""What the gate's checks cost in power, and what they keep out: simulated challengers with and without the checks.

    python -m benchmarks.gate_checks [--quick] [--json PATH]

24 speakers x 60 clips, 8 classes, WAF about .80, the challenger decides 30 % of the clips anew, as in the gate's own table
(`mer/evaluation/gate.py`). `better_P`: P points better in every class, equally well calibrated. `one_class_lost`: 10 points
better in all, but 40 % of the hits of one class gone. `overconfident`: 3 points better, with confidences of .999.

JSON keys, with W the world: `W_without` and `W_with` (share of draws that are promoted), `W_refused` (share in which any check
would refuse).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from mer.evaluation.gate import GateConfig, ScoredClips, decide

CLASSES, SPEAKERS, EACH, REDECIDED = 8, 24, 60, 0.3


@dataclass(frozen=True)
class World:
    """How a challenger differs from its champion."""

    better: float
    """Points of accuracy, as a share."""
    lost: float = 0.0
    """Share of one class' hits that the challenger loses."""
    sureness: float = 0.8
    """Confidence of the challenger's answers; the champion's is .8."""


WORLDS: Mapping[str, World] = {
    "equal": World(0.0),
    "better_2": World(0.02),
    "better_3": World(0.03),
    "better_5": World(0.05),
    "one_class_lost": World(0.1, lost=0.4),
    "overconfident": World(0.03, sureness=0.999),
}


def drawn(rng: np.random.Generator, world: World) -> tuple[ScoredClips, ScoredClips]:
    """A challenger and a champion on the same clips."""
    who = np.repeat(np.arange(SPEAKERS), EACH)
    truth = rng.integers(0, CLASSES, len(who))
    skill = rng.normal(0.78, 0.08, SPEAKERS).clip(0.1, 0.95)[who]

    def decided(share: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.where(rng.random(len(truth)) < share, truth, rng.integers(0, CLASSES, len(truth)))

    champion = decided(skill)
    gain = world.better / REDECIDED * CLASSES / (CLASSES - 1) + rng.normal(0, 0.03, SPEAKERS)[who]
    challenger = np.where(rng.random(len(truth)) < REDECIDED, decided((skill + gain).clip(0, 1)), champion)
    lost = (truth == 0) & (rng.random(len(truth)) < world.lost)
    challenger = np.where(lost, rng.integers(1, CLASSES, len(truth)), challenger)
    return _scored(truth, challenger, who, world.sureness), _scored(truth, champion, who, 0.8)


def _scored(
    truth: NDArray[np.int64], said: NDArray[np.int64], who: NDArray[np.int64], sureness: float
) -> ScoredClips:
    shares = np.full((len(said), CLASSES), (1 - sureness) / (CLASSES - 1))
    shares[np.arange(len(said)), said] = sureness
    ids = tuple(f"c{row}" for row in range(len(said)))
    return ScoredClips(ids, truth, said, tuple(f"s{number}" for number in who), shares)


def measured(draws: int) -> dict[str, Figure]:
    """Shares of promoted and of refused challengers, by world."""
    figures: dict[str, Figure] = {}
    config = GateConfig(resamples=300)
    for name, world in WORLDS.items():
        rng = np.random.default_rng(0)
        decisions = [decide(*drawn(rng, world), config) for _ in range(draws)]
        passed = [one.difference > 0 and one.lower > -one.margin for one in decisions]
        figures[f"{name}_without"] = float(np.mean(passed))
        figures[f"{name}_with"] = float(np.mean([one.promote for one in decisions]))
        refused = [any(not check.passed for check in one.checks) for one in decisions]
        figures[f"{name}_refused"] = float(np.mean(refused))
    return figures


def main() -> None:
    """The table, and the figures as JSON."""
    arguments = parser(__doc__ or "").parse_args()
    figures = measured(40 if arguments.quick else 500)
    print(f"{'world':<16}{'promoted without':>18}{'with checks':>14}{'refused':>10}")
    for name in WORLDS:
        shares = (figures[f"{name}_{end}"] for end in ("without", "with", "refused"))
        without, with_checks, refused = (f"{100 * float(share):.1f} %" for share in shares)  # type: ignore[arg-type]
        print(f"{name:<16}{without:>18}{with_checks:>14}{refused:>10}")
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
