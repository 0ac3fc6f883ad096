"""RAVDESS with labels of four training speakers only, through the product: `mer run`, then `mer refresh`, in a home of its own.

    python -m benchmarks.self_training.refresh [--quick] [--json PATH] [--draws 2] [--corpus PATH] [--recipe NAME] [--set P=V]

For every published fold and draw a corpus is made: the fold's speakers are its holdout (`split: test`), two women and two men of
the other speakers keep their labels (`benchmarks.self_training.rounds.labelled_speakers`), the rest have none. `mer run` without
self-training gives the supervised model, `mer refresh` a candidate with the recipe's (here: `pseudo_labels: {share: 0.8,
confidence: 0.8}`, what few labelled speakers need, docs/self_training.md). Both are versions that a user would be served, scored
on the holdout; hidden labels are read for nothing else. Where true labels of the four speakers show no gain, the candidate is the
supervised model again.

JSON keys: supervised, refreshed (accuracy, all draws and folds), gain, gain_low, gain_high (95 %, speakers resampled), kept (the
share of corpora in which a round was kept), waf_supervised, waf_refreshed, processor_minutes.
"""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    from mer.examples import Examples
    from mer.posteriors import Posteriors

FOLDS_INSIDE = "folds={count: 2, use_published: false}"
"""Four labelled speakers make no five folds; the figures here are of the holdout."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--draws", type=int, default=2, help="choices of the four labelled speakers")
    options.add_argument(
        "--corpus", type=Path, default=Path("../shared/data/ravdess"), help="folder with labels.csv, audio/"
    )
    options.add_argument("--recipe", default="ravdess", help="built-in recipe or YAML file")
    options.add_argument(
        "--set", action="append", default=[], help="as of `mer run`; replaces the self-training options"
    )
    options.add_argument(
        "--home", type=Path, default=Path(".mer/self_training"), help="home and corpora of this benchmark"
    )
    options.add_argument("--seconds", type=float, default=3600.0, help="most that one command may take")
    chosen = options.parse_args()
    if not (chosen.corpus / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    write_figures(chosen.json, measured(chosen))


def measured(chosen: Namespace) -> dict[str, Figure]:
    """All folds and draws, and their figures."""
    from benchmarks.ravdess.streams import load_corpus
    from mer.evaluation.comparison import compare
    from mer.evaluation.intervals import Resampling
    from mer.posteriors import Posteriors

    examples = load_corpus(chosen.corpus, "", chosen.home, 1, quick=False, features=False).examples
    folds = sorted({int(fold) for fold in examples.fold})[: 1 if chosen.quick else None]
    pairs: list[tuple[str, Posteriors, Posteriors]] = []
    for draw in range(1 if chosen.quick else chosen.draws):
        for fold in folds:
            name = f"draw{draw}-fold{fold}"
            versions = _versions(chosen, made_corpus(chosen, examples, fold, draw, chosen.home / name), name)
            first, last = versions[0], versions[-1]
            right = [_right(examples, one) for one in (first, last)]
            print(f"{name}: supervised {right[0].mean():.3f}, refreshed {right[1].mean():.3f}", flush=True)
            pairs.append((name, first, last))
    # clips of a fold are in every draw: named by draw, they are rows of one comparison, and speakers stay whole
    named = {f"{name}/{clip}": clip for name, first, _ in pairs for clip in first.clip_ids}
    position = {clip: row for row, clip in enumerate(examples.clip_ids)}
    refreshed = Posteriors.joined([_named(name, last) for name, _, last in pairs])
    supervised = Posteriors.joined([_named(name, first) for name, first, _ in pairs])
    compared = compare(
        refreshed,
        supervised,
        {key: int(examples.emotion[position[clip]]) for key, clip in named.items()},
        {key: examples.speaker[position[clip]] for key, clip in named.items()},
        int(examples.emotion.max()) + 1,
        resamples=Resampling().resamples,
    )
    scores = {score.name: score for score in compared.scores}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    changed = [float(not np.array_equal(first.logits, last.logits)) for _, first, last in pairs]
    figures: dict[str, Figure] = {
        "supervised": scores["accuracy"].second,
        "refreshed": scores["accuracy"].first,
        "gain": scores["accuracy"].difference,
        "gain_low": scores["accuracy"].low,
        "gain_high": scores["accuracy"].high,
        "waf_supervised": scores["WAF"].second,
        "waf_refreshed": scores["WAF"].first,
        "kept": float(np.mean(changed)),
        "processor_minutes": (used.ru_utime + used.ru_stime) / 60,
    }
    print("\n" + "\n".join(f"{name:20}{value:.4f}" for name, value in figures.items()), flush=True)
    return figures


def made_corpus(chosen: Namespace, examples: Examples, fold: int, draw: int, folder: Path) -> Path:
    """The corpus in `folder`: labels of four speakers and of the holdout; media and features are links to the files there are."""
    from benchmarks.self_training.rounds import labelled_speakers

    labelled = set(labelled_speakers(examples, examples.fold != fold, draw))
    fold_of = dict(zip(examples.clip_ids, examples.fold.tolist(), strict=True))
    for source in sorted(chosen.corpus.rglob("*")):
        target = folder / source.relative_to(chosen.corpus)
        if source.is_file() and source.name != "labels.csv" and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
    rows = list(csv.DictReader((chosen.corpus / "labels.csv").read_text(encoding="utf-8").splitlines()))
    lines = []
    for row in rows:
        test = fold_of[row["name"]] == fold
        known = test or row["speaker"] in labelled
        split = "test" if test else "train" if known else "unlabelled"
        lines.append(
            {
                "name": row["name"],
                "emotion": row["emotion"] if known else "",
                "speaker": row["speaker"],
                "split": split,
            }
        )
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # on another file system
        target.write_bytes(source.read_bytes())


def _versions(chosen: Namespace, corpus: Path, name: str) -> list[Posteriors]:
    """Predictions of the holdout by the supervised version and by the candidate of the refresh."""
    from infra.artifacts import ArtifactStore
    from infra.catalogue import open_catalogue
    from infra.objects import open_store
    from infra.settings import load_settings
    from mer.posteriors import Posteriors

    settings = load_settings(home=chosen.home / "home")
    common = ("--recipe", chosen.recipe, "--corpus", str(corpus), "--name", name, "--set", FOLDS_INSIDE)
    taught = chosen.set or ["pseudo_labels={share: 0.8, confidence: 0.8}"]
    _mer(chosen, "run", *common, "--set", "pseudo_labels=null")
    _mer(chosen, "refresh", *common, *(word for one in taught for word in ("--set", one)))
    artifacts = ArtifactStore(open_store(settings), cache=chosen.home / "cache")
    with open_catalogue(settings) as catalogue:
        evaluations = [row.evaluation for row in catalogue.model_versions(name) if row.evaluation is not None]
    return [Posteriors.from_parquet(artifacts.read(one, "holdout.parquet")) for one in evaluations]


def _mer(chosen: Namespace, *arguments: str) -> None:
    environment = {**os.environ, "MER_HOME": str((chosen.home / "home").resolve())}
    command: Sequence[str] = (sys.executable, "-m", "flows.cli", *arguments)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=chosen.seconds, check=False
    )
    if done.returncode not in (0, 3):
        raise SystemExit(
            f"mer {' '.join(arguments)}: ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def _right(examples: Examples, posteriors: Posteriors) -> np.ndarray:
    position = {clip: row for row, clip in enumerate(examples.clip_ids)}
    truth = np.array([examples.emotion[position[clip]] for clip in posteriors.clip_ids])
    return np.asarray(posteriors.predicted == truth)


def _named(name: str, posteriors: Posteriors) -> Posteriors:
    from mer.posteriors import Posteriors

    return Posteriors(
        tuple(f"{name}/{clip}" for clip in posteriors.clip_ids), posteriors.logits, posteriors.valence
    )


if __name__ == "__main__":
    main()
