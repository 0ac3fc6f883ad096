"""Decoding and the balance of the losses, each by itself, on several corpora.

    python -m benchmarks.fusion.joint_ablation [--quick] [--only WORLD ...] [--seeds 3] [--json PATH]

One structure (`afg_hierarchical` on vectors), trained with separate heads (`separate`), with joint decoding whose
posteriors the error of valence trains (`joint`) or only reads (`read`), each with fixed weights 1:1 and with learned
uncertainty; all else is equal. Scores are out of fold, folds of whole speakers, the epoch chosen on validation speakers by
WAF - .25 MSE. The corpora are those of `benchmarks.fusion.joint_worlds`; RAVDESS' valence is derived from class and
intensity there, so it is no published figure.

JSON keys: `<world>/<decoding>_<balance>_<score>`, score = waf, mse, combined; differences in combined with `_low`, `_high`
(95 %, paired, seeds and speakers resampled): `<world>/<claim>` for the claims of `CLAIMS`, and in WAF alone
`<world>/<claim>_waf`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures
from benchmarks.fusion.joint_scores import Answers, difference, resampled
from benchmarks.fusion.joint_worlds import FOLDS, World, worlds

if TYPE_CHECKING:
    from mer.fusion.config import FusionConfig
    from mer.posteriors import Posteriors

DECODINGS: Mapping[str, dict[str, object]] = {
    "separate": {"valence_decoding": "separate"},
    "joint": {"valence_decoding": "joint", "posterior_gradient": True},
    "read": {"valence_decoding": "joint", "posterior_gradient": False},
}
BALANCES = ("fixed", "uncertainty")
CLAIMS = {
    "joint_gain": ("joint_uncertainty", "separate_uncertainty"),
    "read_gain": ("read_uncertainty", "separate_uncertainty"),
    "gradient_gain": ("joint_uncertainty", "read_uncertainty"),
    "balance_gain": ("joint_uncertainty", "joint_fixed"),
    "both_gain": ("joint_uncertainty", "separate_fixed"),
}
"""Difference -> systems."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="+", help="these corpora only")
    options.add_argument("--seeds", type=int, default=0, help="seeds of every model")
    options.add_argument("--folder", type=Path, default=Path(".mer/agt"), help="where corpora are made")
    options.add_argument("--corpus", type=Path, default=Path("../shared/data/ravdess"), help="RAVDESS")
    options.add_argument(
        "--encoder", default="../shared/models/moonshine-tiny-encoder", help="its speech encoder"
    )
    chosen = options.parse_args()
    import torch

    torch.set_num_threads(int(os.environ.get("MER_COMPUTE_THREADS", "1")))
    root = chosen.corpus if (chosen.corpus / "labels.csv").is_file() else None
    known = worlds(chosen.folder, root, chosen.encoder, quick=chosen.quick)
    if unknown := sorted(set(chosen.only or ()) - set(known)):
        options.error(f"expected corpora out of {', '.join(known)}; found {', '.join(unknown)}")
    seeds = range(1, 1 + (chosen.seeds or (1 if chosen.quick else 3)))
    figures: dict[str, Figure] = {}
    for name in chosen.only or known:
        found = measured(known[name](), seeds, epochs=20 if chosen.quick else 60)
        show(name, found)
        figures |= {f"{name}/{key}": value for key, value in found.items()}
    write_figures(chosen.json, figures)


def measured(world: World, seeds: Sequence[int], epochs: int) -> dict[str, Figure]:
    """Every arm on every fold and seed, scored out of fold."""
    from mer.fusion.config import FusionConfig

    base = FusionConfig(model="afg_hierarchical", validation_score="combined", epochs=epochs, patience=12)
    arms = {
        f"{decoding}_{balance}": base.model_copy(update={**options, "task_balance": balance})
        for decoding, options in DECODINGS.items()
        for balance in BALANCES
    }
    answers = Answers(world.examples)
    for name, config in arms.items():
        for seed in seeds:
            for fold in range(FOLDS):
                answers.add(name, seed, out_of_fold(world, config.model_copy(update={"seed": seed}), fold))
    scored = {name: resampled(answers, name) for name in arms}
    figures: dict[str, Figure] = {"clips": len(world.examples), "seeds": len(seeds)}
    figures |= {
        f"{name}_{score}": float(values.mean())
        for name, own in scored.items()
        for score, values in own.point.items()
    }
    for claim, (one, other) in CLAIMS.items():
        for suffix, score in (("", "combined"), ("_waf", "waf")):
            found = difference(f"{claim}{suffix}", [scored[one]], [scored[other]], score, 1.0)
            figures |= {key: value for key, value in found.items() if not key.endswith("_by_seed")}
    return figures


def out_of_fold(world: World, config: FusionConfig, fold: int) -> Posteriors:
    """Answers to the clips of a fold by a model of the others; no label of the fold is read."""
    from dataclasses import replace

    import numpy as np

    from mer.fusion.fit import fit_fusion, predict_fusion
    from mer.training.folds import inner_validation

    own = world.examples
    test = own.fold == fold
    held = inner_validation(own.speaker, own.clip_ids, own.emotion, ~test, 0.2, 1, own.content)
    shown = replace(
        own,
        emotion=np.where(test, -1, own.emotion),
        valence=np.where(test, np.nan, own.valence).astype(np.float32),
    )
    fitted = fit_fusion(world.tables, shown, ~test & ~held, held, world.classes, config)
    return predict_fusion(fitted, world.tables).restricted(
        [own.clip_ids[row] for row in np.flatnonzero(test)]
    )


def show(name: str, figures: Mapping[str, Figure]) -> None:
    """One corpus."""
    print(f"\n{name}: {figures['clips']} clips, {figures['seeds']} seeds; WAF - .25 MSE, WAF, MSE")
    for decoding in DECODINGS:
        cells = (
            "  ".join(
                f"{figures[f'{decoding}_{balance}_{score}']:7.3f}" for score in ("combined", "waf", "mse")
            )
            for balance in BALANCES
        )
        print(f"  {decoding:<10}" + "   |   ".join(cells))
    for claim, (one, other) in CLAIMS.items():
        print(
            f"  {claim:<14} {figures[claim]:+.3f} ({figures[f'{claim}_low']:+.3f} to {figures[f'{claim}_high']:+.3f}); WAF "
            f"{figures[f'{claim}_waf']:+.3f} ({figures[f'{claim}_waf_low']:+.3f} to {figures[f'{claim}_waf_high']:+.3f}): "
            f"{one} - {other}",
            flush=True,
        )


if __name__ == "__main__":
    main()
