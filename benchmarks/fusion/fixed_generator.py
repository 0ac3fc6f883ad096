"""The served defaults against logistic regression, over a fixed generator of worlds (`benchmarks.fusion.worlds`).

    python -m benchmarks.fusion.fixed_generator [--quick] [--json PATH] [--clips 100 400] [--seeds 5] [--paths fusion searched]
        [--references logistic]

Cells: 100, 400 and 3,000 clips to learn from; a widest stream of 288, 1,024 and 4,096 features; 4 and 8 classes; linear, curved,
20 % of the labels wrong, a stream missing for a third. Systems, on the same clips:

- `fusion`: `mer.Fusion()` on arrays, as it comes;
- `searched`: the kind `searched` by the contract, as the pipeline fits it;
- `logistic`: scikit-learn's logistic regression as it comes (C 1), standardised streams side by side, missing ones at the mean;
- `tuned`: the same at the C of .0001 to 1 that five folds of speakers find best.

JSON keys, for each cell `n100 w288 c4 linear` and system: `CELL SYSTEM` (mean accuracy over seeds), `CELL SYSTEM - logistic`,
`CELL SYSTEM - tuned`; `worst SYSTEM - logistic`, `worst SYSTEM - tuned` over the cells; `fits`; `processor_seconds SYSTEM`
(mean of a fit with its answers). `--quick`: 100 clips, 288 features, one seed.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.fusion.worlds import FORMS, World, made_world

CLIPS, WIDTHS, CLASSES = (100, 400, 3000), (288, 1024, 4096), (4, 8)
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
REFERENCES = ("logistic", "tuned")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--clips", type=int, nargs="+", default=CLIPS, help="clips to learn from")
    options.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="of the widest stream")
    options.add_argument("--classes", type=int, nargs="+", default=CLASSES, help="numbers of classes")
    options.add_argument("--forms", nargs="+", default=FORMS, choices=FORMS, help="of the worlds")
    options.add_argument("--seeds", type=int, default=5, help="worlds a cell")
    options.add_argument("--paths", nargs="+", default=("fusion", "searched"), choices=tuple(SYSTEMS))
    options.add_argument(
        "--references",
        nargs="+",
        default=REFERENCES,
        choices=REFERENCES,
        help="to hold them against (logistic: the cheap one)",
    )
    chosen = options.parse_args()
    clips, widths, seeds = ([100], [288], 1) if chosen.quick else (chosen.clips, chosen.widths, chosen.seeds)
    figures: dict[str, Figure] = {}
    seconds: dict[str, list[float]] = {}
    names = [*chosen.references, *chosen.paths]
    for count, width, classes, form in product(clips, widths, chosen.classes, chosen.forms):
        cell = f"n{count} w{width} c{classes} {form}"
        scores: dict[str, list[float]] = {name: [] for name in names}
        for seed in range(seeds):
            world = made_world(form, count, width, classes, seed)
            for name in names:
                start = time.process_time()
                answers = SYSTEMS[name](world)
                seconds.setdefault(name, []).append(time.process_time() - start)
                scores[name].append(float((answers == world.truth).mean()))
        means = {name: fmean(values) for name, values in scores.items()}
        figures |= {f"{cell} {name}": mean for name, mean in means.items()}
        differences = {
            f"{name} - {other}": means[name] - means[other]
            for name in chosen.paths
            for other in chosen.references
        }
        figures |= {f"{cell} {name}": value for name, value in differences.items()}
        print(
            f"{cell:28}" + "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
            + "  |  " + "  ".join(f"{name} {value:+.3f}" for name, value in differences.items()),
            flush=True,
        )  # fmt: skip
        write_figures(chosen.json, figures)
    for name, other in product(chosen.paths, chosen.references):
        key = f"{name} - {other}"
        figures[f"worst {key}"] = min(
            value for cell, value in figures.items() if cell.endswith(key) and isinstance(value, float)
        )
        print(f"worst {key}: {figures[f'worst {key}']:+.3f}")
    for name, values in seconds.items():
        figures[f"processor_seconds {name}"] = fmean(values)
        print(f"{name}: {fmean(values):.1f} processor seconds a fit, {max(values):.1f} at most")
    figures["fits"] = sum(map(len, seconds.values()))
    write_figures(chosen.json, figures)


def logistic(world: World) -> NDArray[np.int64]:
    """Scikit-learn's defaults."""
    from sklearn.linear_model import LogisticRegression

    learnt, asked = _side_by_side(world)
    model = LogisticRegression(max_iter=2000).fit(learnt, world.given)
    return np.asarray(model.predict(asked), np.int64)


def tuned(world: World) -> NDArray[np.int64]:
    """The penalty by folds of speakers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    learnt, asked = _side_by_side(world)
    right = np.zeros(len(PENALTIES))
    for train, held in GroupKFold(min(5, len(set(world.speakers)))).split(learnt, groups=world.speakers):
        for place, value in enumerate(PENALTIES):
            model = LogisticRegression(C=value, max_iter=2000).fit(learnt[train], world.given[train])
            right[place] += (model.predict(learnt[held]) == world.given[held]).sum()
    model = LogisticRegression(C=PENALTIES[int(right.argmax())], max_iter=2000).fit(learnt, world.given)
    return np.asarray(model.predict(asked), np.int64)


def fusion(world: World) -> NDArray[np.int64]:
    """`mer.Fusion()` on arrays."""
    import mer

    count = len(world.given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = mer.Fusion(classes=list(range(int(world.truth.max()) + 1))).fit(
            {name: values[:count] for name, values in world.streams.items()},
            world.given,
            speakers=world.speakers,
        )
    return np.asarray(
        model.predict({name: values[count:] for name, values in world.streams.items()}), np.int64
    )


def searched(world: World) -> NDArray[np.int64]:
    """The kind `searched`."""
    from mer.examples import Examples
    from mer.stream_tables import FeatureTable
    from mer.systems.kinds import FitData, fit_system

    count, total = len(world.given), len(world.given) + len(world.truth)
    ids = tuple(map(str, range(total)))
    tables = {}
    for name, values in world.streams.items():
        present = np.asarray(np.isfinite(values).all(axis=1))
        tables[name] = FeatureTable(ids, np.where(present[:, None], values, 0), present)
    examples = Examples(
        clip_ids=ids,
        emotion=np.concatenate([world.given, np.full(total - count, -1)]),
        valence=np.full(total, np.nan, np.float32),
        speaker=world.speakers + (None,) * (total - count),
        fold=np.full(total, -1),
        weight=np.ones(total, np.float32),
    )
    train = np.arange(total) < count
    classes = tuple(map(str, range(int(world.truth.max()) + 1)))
    system = fit_system(
        "searched", FitData({"states": tables}, examples, train, np.zeros(total, bool), classes), {}
    )
    return system.posteriors({"states": tables}).predicted[count:]


def _side_by_side(world: World) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = len(world.given)
    parts = []
    for values in world.streams.values():
        mean, scale = np.nanmean(values[:count], axis=0), np.nanstd(values[:count], axis=0)
        parts.append(np.nan_to_num((values - mean) / scale))
    together = np.concatenate(parts, axis=1).astype(np.float64)
    return together[:count], together[count:]


SYSTEMS: dict[str, Callable[[World], NDArray[np.int64]]] = {
    "logistic": logistic,
    "tuned": tuned,
    "fusion": fusion,
    "searched": searched,
}


if __name__ == "__main__":
    main()
