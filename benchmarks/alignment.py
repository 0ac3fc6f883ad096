"""RAVDESS: action units aligned to a frozen speech layer, on speakers never seen: retrieval, controls, few and no labels.

    python -m benchmarks.alignment [--quick] [--json PATH] [--corpus PATH] [--encoder SOURCE] [--layer 2] [--inner-only]

Published speaker-independent folds. For each outer fold the options are compared on inner held-out speakers of its training
folds and chosen by retrieval (R@10 over all clips and within speakers, each divided by chance, geometric mean: no label is
read); beside it stand, for every option, the accuracy of a classifier of speech asked about faces, and aligned - raw with one
labelled speaker. `--inner-only` ends there. Then alignment and controls are fitted on the training speakers with several seeds;
the epoch is chosen on validation speakers among them. Pairs are unlabelled throughout: labels train the probes alone. The JSON
has the figures of `mer.alignment.study_report.summarised`, all folds together, beside `chosen_<fold>` (name of the options),
`inner/<options>/<figure>` (lift, zero_shot, few_1_gain; means over folds), `clips`, `seeds`.

`--quick`: 360 clips, two candidates, one inner split, one seed: shows that all of it runs, not how good it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from mer.alignment.config import AlignmentConfig, AlignmentStudyConfig

if TYPE_CHECKING:
    from mer.alignment.study import StudiedClips, ViewStudy
    from mer.examples import Examples

_WIDE = {"batch_size": 256, "dropout": 0.5, "hidden_size": 512, "anchor_components": 32}
CANDIDATES = {
    "default": AlignmentConfig(),
    **{
        f"{projector}, targets {targets}": AlignmentConfig.model_validate(
            {
                **_WIDE,
                "anchor_projector": projector,
                "standardise_anchor": "speaker" if targets == "standardised" else "none",
            }
        )
        for projector in ("linear", "whiten", "raw")
        for targets in ("as they are", "standardised")
    },
    "linear, targets standardised, batch 64": AlignmentConfig.model_validate(
        {**_WIDE, "batch_size": 64, "standardise_anchor": "speaker"}
    ),
}
"""Who maps what: the anchor by a learnt map (`linear`: both sides are mapped), or not at all (`whiten`, `raw`)."""
QUICK = ("default", "raw, targets standardised")
VALIDATION_SHARE = 0.2
JUDGED_BY = ("r10", "within_speaker_r10")


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument(
        "--corpus", type=Path, default=Path("../shared/data/ravdess"), help="labels.csv, audio/"
    )
    options.add_argument(
        "--encoder",
        default="../shared/models/moonshine-tiny-encoder",
        help="folder or `wheel:moonshine-tiny`",
    )
    options.add_argument("--layer", type=int, default=2, help="hidden state aligned to")
    options.add_argument("--features", type=Path, default=Path(".mer/alignment"), help="kept features")
    options.add_argument("--seeds", type=int, default=3, help="fits of every fold")
    options.add_argument(
        "--inner-only", action="store_true", help="compare the options on inner speakers alone"
    )
    options.add_argument("--controls", type=int, default=6, help="fits of each control for every fit")
    chosen = options.parse_args()
    if not (chosen.corpus / "labels.csv").is_file():
        options.error(f"expected labels.csv, audio/ and features/ in {chosen.corpus}; give --corpus PATH")
    import torch

    torch.set_num_threads(1)
    from benchmarks.ravdess.streams import FACE, layer, load_corpus
    from mer.ensemble.varied import PLAIN

    corpus = load_corpus(
        chosen.corpus, chosen.encoder, chosen.features, 1, quick=chosen.quick, speeds={PLAIN: 1.0}
    )
    study = AlignmentStudyConfig(control_seeds=chosen.controls)
    figures = measured(
        corpus.examples,
        corpus.streams[FACE].values[PLAIN],
        corpus.streams[layer(chosen.layer)].values[PLAIN],
        study,
        seeds=0 if chosen.inner_only else 1 if chosen.quick else chosen.seeds,
        candidates={name: CANDIDATES[name] for name in (QUICK if chosen.quick else CANDIDATES)},
        splits=1 if chosen.quick else 2,
    )
    write_figures(chosen.json, figures)


def measured(
    examples: Examples,
    action_units: NDArray[np.float32],
    speech: NDArray[np.float32],
    study: AlignmentStudyConfig,
    *,
    seeds: int,
    candidates: Mapping[str, AlignmentConfig],
    splits: int,
) -> dict[str, Figure]:
    """All outer folds, the tables, and the figures; without seeds the options are compared on inner speakers alone."""
    from mer.alignment.groups import ClipGroups
    from mer.alignment.paired_clips import PairedClips
    from mer.alignment.study import StudiedClips, fitted, study_view
    from mer.alignment.study_report import summarised, table_lines
    from mer.training.partition import FINAL_VIEW, partitions

    nobody = np.zeros(len(examples), dtype=bool)
    views = partitions(examples, nobody, validation_share=VALIDATION_SHARE, seed=7)
    studies, figures, compared = [], dict[str, Figure](), []
    for name, view in views.items():
        if name == FINAL_VIEW:
            continue
        clips = StudiedClips(
            pairs=PairedClips(
                trained_values=action_units,
                anchor_values=speech,
                train=view.train,
                validation=view.validation,
                groups=ClipGroups.of_speakers(examples.speaker),
            ),
            emotion=examples.emotion,
            scored=view.test,
        )
        compared.append(on_inner_speakers(clips, examples, candidates, splits))
        choice = max(candidates, key=lambda one: compared[-1][one]["lift"])
        figures[f"chosen_{name}"] = choice
        print(f"{name}: {choice}", flush=True)
        if not seeds:
            continue
        by_seed = []
        for seed in range(1, seeds + 1):
            config = candidates[choice].model_copy(update={"seed": seed})
            by_seed.append(study_view(name, clips, fitted(clips, config), study))
        studies.append(mean_of_seeds(by_seed))
        print(f"{name}: " + shown(summarised([studies[-1]], study)), flush=True)
    print("\ninner speakers, mean over folds      lift of R@10   zero-shot   aligned - raw, one speaker")
    for one in candidates:
        own = {key: float(np.mean([fold[one][key] for fold in compared])) for key in compared[0][one]}
        print(f"  {one:<40}{own['lift']:8.2f}{own['zero_shot']:12.3f}{own['few_1_gain']:+12.3f}", flush=True)
        figures |= {f"inner/{one}/{key}": value for key, value in own.items()}
    if not seeds:
        return {**figures, "clips": len(examples)}
    summary = summarised(studies, study)
    print("\n" + "\n".join(table_lines(summary, "action units", "speech")), flush=True)
    return {**figures, **summary, "clips": len(examples), "seeds": seeds}


def mean_of_seeds(studies: list[ViewStudy]) -> ViewStudy:
    """One view fitted with several seeds: hits, figures and probes averaged clip by clip, controls put together.

    The permutations of a view are the same for every seed, so their averages are a null of the average.
    """
    first = studies[0]

    def mean(name: str) -> Any:
        means = np.mean([getattr(study, name) for study in studies], axis=0)
        return np.round(means, 6).tolist()

    return replace(
        first,
        hits=mean("hits"),
        within_hits=mean("within_hits"),
        permuted=mean("permuted"),
        within_permuted=mean("within_permuted"),
        figures={name: float(np.mean([one.figures[name] for one in studies])) for name in first.figures},
        controls={
            kind: [fit for study in studies for fit in study.controls[kind]] for kind in first.controls
        },
        probe={name: np.mean([one.probe[name] for one in studies], axis=0).tolist() for name in first.probe},
        zero_shot=np.mean([one.zero_shot for one in studies], axis=0).tolist() if first.zero_shot else [],
        few={
            count: {
                name: np.mean([one.few[count][name] for one in studies], axis=0).tolist() for name in systems
            }
            for count, systems in first.few.items()
        },
    )


def on_inner_speakers(
    clips: StudiedClips, examples: Examples, candidates: Mapping[str, AlignmentConfig], splits: int
) -> dict[str, dict[str, float]]:
    """Options -> their figures on held-out speakers of the training folds; tests are not looked at."""
    inner = inner_splits(clips, examples, splits)
    found = {}
    for name, config in candidates.items():
        each = [inner_figures(one, config) for one in inner]
        found[name] = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        found[name]["lift"] = float(np.exp(np.mean([np.log(one["lift"]) for one in each])))
    return found


def inner_splits(clips: StudiedClips, examples: Examples, splits: int) -> Sequence[StudiedClips]:
    """Training speakers, an epoch's validation speakers and scored speakers, all out of the training folds."""
    from mer.training.folds import assign_folds, inner_validation

    rows = np.flatnonzero(clips.pairs.train | clips.pairs.validation)
    known = examples.subset(rows)
    parts = assign_folds(known.speaker, known.clip_ids, known.emotion, 4, 11, known.content)
    made = []
    for part in range(splits):
        scored, fit = np.zeros(len(examples), dtype=bool), np.zeros(len(examples), dtype=bool)
        scored[rows[parts == part]], fit[rows[parts != part]] = True, True
        validation = inner_validation(
            examples.speaker, examples.clip_ids, examples.emotion, fit, VALIDATION_SHARE, 7, examples.content
        )
        pairs = replace(clips.pairs, train=fit & ~validation, validation=validation)
        made.append(replace(clips, pairs=pairs, scored=scored))
    return made


def inner_figures(clips: StudiedClips, config: AlignmentConfig) -> dict[str, float]:
    """Recall over chance on the scored clips, zero-shot accuracy, and what one labelled speaker gains by the alignment."""
    from mer.alignment.study import fitted, study_view
    from mer.alignment.study_report import summarised

    plain = AlignmentStudyConfig(control=False, permutations=100, few_speakers=(1,))
    found = summarised([study_view("inner", clips, fitted(clips, config), plain)], plain)
    lifts = [max(found[name], 1e-6) / found[name.replace("r10", "chance_r10")] for name in JUDGED_BY]
    return {
        "lift": float(np.exp(np.mean(np.log(lifts)))),
        "zero_shot": found["zero_shot"],
        "few_1_gain": found["few_1_gain"],
    }


def shown(figures: Mapping[str, float]) -> str:
    """A fold in one line."""
    return (
        f"R@1 {figures['r1']:.4f} (chance {figures['chance_r1']:.4f}), within speakers "
        f"{figures['within_speaker_r1']:.4f} ({figures['within_speaker_chance_r1']:.4f}); probe raw "
        f"{figures['probe_raw']:.3f}, aligned {figures['probe_aligned']:.3f}, both {figures['probe_raw_aligned']:.3f}; zero-shot "
        f"{figures['zero_shot']:.3f}, one labelled speaker {figures['few_1_gain']:+.3f}"
    )


if __name__ == "__main__":
    main()
