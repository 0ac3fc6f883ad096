"""The stages of a recipe in the order of a run, and what each reads, in words. Loads neither Prefect nor torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mer.recipes import Recipe, Stream
from mer.recipes.studies import studied_streams
from mer.recipes.systems import scored_systems, served_name

INGEST, FEATURES, STUDY, ADAPTATION, ALIGNMENT, FUSION, PSEUDO_LABELS, EVALUATION, REGISTRATION = (
    "ingest", "features", "layer study", "adaptation", "alignment", "fusion", "pseudo-labels", "evaluation", "registration",
)  # fmt: skip


@dataclass(frozen=True)
class StageReads:
    """A stage and what it reads."""

    kind: str
    name: str
    reads: str
    stream: str = ""
    """Stream that it is about; empty: all of them."""


def stage_reads(recipe: Recipe) -> tuple[StageReads, ...]:
    """Every stage of a run of the recipe, the features stream by stream."""
    return tuple(_stages(recipe))


def served_line(recipe: Recipe) -> str:
    """What the recipe serves, and what is trained beside it for comparison."""
    leading = served_name(recipe)
    if recipe.searched_choice is not None and recipe.serves_ensemble:
        served = "kernel machines and logistic regressions, searched in every view"
    elif recipe.serves_ensemble:
        served = f"an ensemble of {', '.join(recipe.member_choices)}"
    else:
        served = f"the fusion {recipe.fusion.model}"
    compared = [system.name for system in scored_systems(recipe) if system.name != leading]
    return f"serves {served}" + (f"; compared with {', '.join(compared)}" if compared else "")


def _stages(recipe: Recipe) -> Iterator[StageReads]:
    yield StageReads(INGEST, INGEST, "the folder: media, labels, speakers, transcripts")
    for name, stream in recipe.streams.items():
        yield StageReads(FEATURES, f"features of {name}", _features(stream), name)
    for name in studied_streams(recipe):
        yield StageReads(
            STUDY, f"layer study of {name}", "every hidden state; labels of training clips", name
        )
    for name in recipe.adapts:
        yield StageReads(ADAPTATION, f"adaptation of {name}", _adaptation(recipe.stream(name)), name)
    for name, anchor in recipe.anchors.items():
        yield StageReads(
            ALIGNMENT, f"alignment of {name}", f"{name} and {anchor} of all clips, no label", name
        )
    yield StageReads(FUSION, FUSION, f"{', '.join(recipe.reads)}; labels of training clips")
    if recipe.pseudo_labels is not None:
        yield StageReads(PSEUDO_LABELS, PSEUDO_LABELS, "answers on unlabelled clips; true labels judge")
    yield StageReads(EVALUATION, EVALUATION, "answers of held-out folds; test labels, here alone")
    yield StageReads(REGISTRATION, "registration, gate", "the report; the champion on the same clips")


def _features(stream: Stream) -> str:
    spec = stream.features
    if spec.source == "sound:":
        return "sound: loudness and length"
    if stream.reads_crops:
        return "pictures: face crops"
    if spec.precomputed:
        return f"files below features/{spec.source.removeprefix('files:')}"
    what = {"acoustic": "sound", "visual": "pictures", "lexical": "transcripts"}.get(
        spec.modality, spec.modality
    )
    speeds = "".join(f", {speed:g}" for speed in stream.frozen_speeds)
    return f"{what} by {spec.source}" + (f", also at speed{speeds[1:]}" if speeds else "")


def _adaptation(stream: Stream) -> str:
    block, options = stream.named_block, stream.adaptation
    where = f"layers {block.start} to {block.stop - 1}" if block is not None else "the block that was chosen"
    method = f"{options.method}, " if options is not None else ""
    return f"{method}{where}; labels of training clips"
