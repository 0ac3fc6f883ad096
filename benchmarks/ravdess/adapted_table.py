"""The table of `benchmarks.ravdess.adapted`: what each system is held against, parameters, and how it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import Figure

if TYPE_CHECKING:
    from mer.adaptation.block import Block
    from mer.adaptation.config import AdaptationConfig

REFERENCES = {
    "frozen_layer": "frozen_last",
    "frozen_block": "frozen_layer",
    "frozen_search": "frozen_layer",
    "adapted": "frozen_block",
    "adapted_masked": "adapted",
    "bottleneck": "adapted",
    "dora": "adapted",
    "all_layers": "adapted",
    "adapted_search": "frozen_search",
    "adapted_pool": "frozen_search",
    "fused_search": "fused_frozen",
    "fused": "fused_frozen",
}


def trainable(
    options: Mapping[str, AdaptationConfig], encoder: str, kept: Path, block: Block, layers: int
) -> dict[str, Figure]:
    """Trainable adapter parameters of every adapted system; the head is alike in all."""
    from mer.adaptation.adapters import AdaptedLayers
    from mer.adaptation.block import Block
    from mer.encoders import load_acoustic, resolve_weights

    loaded = load_acoustic(resolve_weights(encoder, kept / "weights"))
    figures: dict[str, Figure] = {}
    for name, config in options.items():
        adapted = AdaptedLayers(loaded, Block(0, layers) if name == "all_layers" else block, config)
        figures[f"trainable_{name}"] = sum(p.numel() for p in adapted.trainable.values())
    return figures


def show(suffix: str, figures: Mapping[str, Any]) -> None:
    """Print the table of one set of classes."""
    print(
        f"\n{'system':20}{'folds (seeds for adapted_seed)':33}{'mean':7}{'WAF':7}{'macro-F1':10}{'95 % of accuracy':18}"
        "minus its reference (95 %)"
    )
    order = [
        "frozen_last", "frozen_layer", "frozen_block", "frozen_search", "adapted_seed", "adapted", "adapted_masked",
        "bottleneck", "dora", "all_layers", "adapted_search", "adapted_pool", "units", "fused_frozen", "fused_search", "fused",
    ]  # fmt: skip
    for name in order:
        key = f"{name}{suffix}"
        if f"{key}_accuracy_mean" not in figures:
            continue
        folds = " ".join(f"{one:.3f}" for one in figures[f"{key}_accuracy_folds"])
        line = (
            f"{key:20}{folds:33}{figures[f'{key}_accuracy_mean']:<7.3f}{figures[f'{key}_waf']:<7.3f}"
            f"{figures[f'{key}_macro_f1']:<10.3f}{figures[f'{key}_interval_low']:.3f}-{figures[f'{key}_interval_high']:<12.3f}"
        )
        if f"{key}_difference" in figures:
            line += (
                f"{figures[f'{key}_difference']:+.3f} ({figures[f'{key}_difference_low']:+.3f} to "
                f"{figures[f'{key}_difference_high']:+.3f}) {REFERENCES[name]}"
            )
        print(line)
    for name in order:
        if f"inner_accuracy_{name}{suffix}" in figures:
            print(
                f"{name}{suffix}: inner folds {figures[f'inner_accuracy_{name}{suffix}']:.3f}, "
                f"unseen speakers {figures[f'{name}{suffix}_accuracy_mean']:.3f}"
            )
    print(
        "trainable adapter parameters: "
        + ", ".join(
            f"{k.removeprefix('trainable_')} {v:,}" for k, v in figures.items() if k.startswith("trainable_")
        ),
        flush=True,
    )
