"""The full-size recipes of systems A, B and C: their steps at full width, and what their real sizes cost.

Every encoder that a recipe `*_full` names is built at its published width with random weights and two layers, in a
process of its own, and one step of the adaptation is taken by the pipeline's code (of a frozen encoder too: what its
features are read from). Then each fusion of the recipe is trained for an epoch on random frames and vectors of the
widths that the real encoders give. The tables are of the real depths: parameters counted on the meta device, FLOPs by
the shapes, memory from what the step was seen to keep.

    python -m benchmarks.full_size.recipes [--recipe audio_guided_full ...] [--quick] [--json PATH]

`--quick` leaves the encoders' steps out. JSON keys: `<recipe>/<stream>/<figure>`: encoder, parameters, trainable,
clip_gflops, step_gflops_per_clip (0 where nothing is trained), weights_gb_bf16, step_peak_gb (two layers, fp32), and
of trained ones adapter_and_adam_mb, kept_mb_per_clip; `<recipe>/fusion <name>/<figure>`: parameters, clip_gflops
(forward), clips, epoch_seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures
from benchmarks.full_size.fusions import fusion_figures
from benchmarks.full_size.models import CLASSES, MODELS, PICTURES, SECONDS, TOKENS, costs
from benchmarks.full_size.step import RANK, in_own_process, number, real_size
from mer.adaptation.block import Block
from mer.recipes import load_recipe

if TYPE_CHECKING:
    from mer.recipes import Recipe
    from mer.recipes.stream import Stream

RECIPES = ("acoustic_adaptation_full", "audio_guided_full", "joint_decoding_full")
FOLDERS = {
    "chinese-hubert-large": "chinese-hubert-large",
    "chinese-wav2vec2-large": "chinese-wav2vec2-large",
    "clip-vit-large-patch14": "clip-vit-l14",
    "dinov2-large": "dinov2-large",
    "Baichuan2-7B-Base": "baichuan2-7b",
    "Baichuan-13B-Base": "baichuan-13b",
}
"""Folder that a recipe names -> key of `benchmarks.full_size.models.MODELS`."""
WIDTHS = dict.fromkeys(FOLDERS.values(), 1024) | {"baichuan2-7b": 4096, "baichuan-13b": 5120}
"""Features of a hidden state."""
DEPTH = 2
"""Layers built for a step."""
SPEECH_FRAMES = round(SECONDS * 50) - 1
ROWS = {"acoustic": SPEECH_FRAMES, "visual": PICTURES * 257, "lexical": TOKENS}
"""Rows of a typical clip's hidden state."""
FRAMES = {"acoustic": SPEECH_FRAMES, "visual": PICTURES, "lexical": 1}
"""Frames of a typical clip that a fusion reads; a language model is read at one token."""


@dataclass(frozen=True)
class EncoderUse:
    """One encoder of a recipe."""

    stream: str
    model: str
    """Key of `benchmarks.full_size.models.MODELS`."""
    trained: bool
    """PEFT of a block, by the labels or by the alignment."""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--recipe", nargs="+", choices=RECIPES, default=RECIPES, help="these recipes only")
    chosen = options.parse_args()
    figures: dict[str, Figure] = {}
    for name in chosen.recipe:
        recipe = load_recipe(name)
        found = {use.stream: encoder_figures(use, chosen.quick) for use in encoder_uses(recipe)}
        fusions = {
            f"fusion {key}": value for key, value in fusion_figures(recipe, stream_widths(recipe)).items()
        }
        show(recipe, found, fusions)
        figures |= {
            f"{name}/{part}/{key}": value
            for part, values in (found | fusions).items()
            for key, value in values.items()
        }
    write_figures(chosen.json, figures)


def encoder_uses(recipe: Recipe) -> list[EncoderUse]:
    """Every encoder that the recipe reads or trains, by stream."""
    return [EncoderUse(name, model_of(stream), is_trained(stream)) for name, stream in recipe.streams.items()]


def model_of(stream: Stream) -> str:
    """The model whose folder a stream names."""
    return FOLDERS[PurePosixPath(stream.trained_encoder or stream.features.source).name]


def is_trained(stream: Stream) -> bool:
    """Whether adapters are put into the stream's encoder."""
    aligned = stream.alignment is not None and stream.trained_encoder is not None
    return stream.adaptation is not None or aligned


def stream_widths(recipe: Recipe) -> dict[str, tuple[int, int]]:
    """Table name -> (frames, width) that the fusion reads of a typical clip; 1 frame: a vector.

    A stream that is adapted or aligned is a vector of its own beside frozen frames, as `mer.predictor.streams` says.
    """
    found: dict[str, tuple[int, int]] = {}
    for name, stream in recipe.streams.items():
        width, table = WIDTHS[model_of(stream)], recipe.table_name(name)
        adapted = 2 * width if stream.adaptation is not None and stream.keep_adapted else 0
        learnt = stream.alignment.embedding_size if stream.alignment is not None else adapted
        if recipe.fusion.level == "frames" and not stream.reads_crops:
            found[table] = (FRAMES[stream.modality], width)
            found |= {f"{table}/learnt": (1, learnt)} if learnt else {}
        else:
            pooled = 2 * width if stream.features.pooling == "mean_std" else width
            reads_frozen = not learnt or (adapted > 0 and stream.keep_frozen)
            found[table] = (1, learnt + (pooled if reads_frozen else 0))
    return found


def encoder_figures(use: EncoderUse, quick: bool) -> dict[str, Figure]:
    """What the encoder costs at its real depth, and at few layers the most memory of a step (frozen: it is taken too)."""
    model = MODELS[use.model]
    # a frozen encoder is read up to its last layer, an adapted one up to the end of its block
    read = model if use.trained else replace(model, block=Block(model.block.start, model.layers))
    found = costs(read, ROWS[model.stream], RANK, CLASSES)
    figures: dict[str, Figure] = {
        "encoder": use.model,
        "parameters": found.parameters,
        "trainable": found.trainable if use.trained else 0,
        "clip_gflops": found.clip_flops / 1e9,
        "step_gflops_per_clip": 2 * found.block_flops / 1e9 if use.trained else 0.0,
        "weights_gb_bf16": 2 * found.parameters / 1e9,
    }
    if not quick:
        step = in_own_process(use.model, DEPTH, "cpu")
        figures["step_peak_gb"] = number(step["peak_bytes"]) / 1e9
        if use.trained:
            real = real_size(use.model, step)
            figures |= {key: real[key] for key in ("adapter_and_adam_mb", "kept_mb_per_clip")}
    return figures


def show(
    recipe: Recipe, encoders: Mapping[str, Mapping[str, Figure]], fusions: Mapping[str, Mapping[str, Figure]]
) -> None:
    """The recipe's tables."""
    columns = {
        "params M": ("parameters", 1e6), "train M": ("trainable", 1e6), "clip GF": ("clip_gflops", 1.0),
        "step GF": ("step_gflops_per_clip", 1.0), "bf16 GB": ("weights_gb_bf16", 1.0), "Adam MB": ("adapter_and_adam_mb", 1.0),
        "kept MB": ("kept_mb_per_clip", 1.0), "peak GB": ("step_peak_gb", 1.0),
    }  # fmt: skip
    print(f"\n{recipe.name}")
    print(f"  {'stream':<12}{'encoder':<24}" + "".join(f"{head:>10}" for head in columns))
    for stream, values in encoders.items():
        cells = (
            f"{number(values[key]) / scale:>10.1f}" if key in values else f"{'-':>10}"
            for key, scale in columns.values()
        )
        print(f"  {stream:<12}{values['encoder']!s:<24}" + "".join(cells))
    for name, values in fusions.items():
        size, work = number(values["parameters"]) / 1e6, number(values["clip_gflops"])
        seconds = number(values["epoch_seconds"])
        print(
            f"  {name:<12}{size:.1f} M parameters, {work:.2f} GFLOP a clip, {seconds:.1f} s an epoch of {values['clips']} clips"
        )


if __name__ == "__main__":
    main()
