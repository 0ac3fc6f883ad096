"""Which reader turns a clip's stream into features, by what a spec asks for. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mer.encoders.families import encoder_implementations
from mer.encoders.placement import Placement, choose_placement
from mer.encoders.weights import ResolvedWeights, resolve_weights
from mer.features.spec import CROPS_SOURCE, SOUND_SOURCE, FeatureSpec
from mer.implementations import Implementations

if TYPE_CHECKING:
    from mer.features.reader import Reader

FILES, CROPS, SOUND = "files", "crops", "sound"
DECODING = "mer.media.contained_worker:answer"
"""What a clip is decoded by, in a process of its own."""
READERS = Implementations(
    {
        FILES: "mer.features.files:FileReader",
        CROPS: "mer.features.faces:CropReader",
        SOUND: "mer.features.loudness:SoundReader",
        "acoustic": "mer.features.speech:SpeechReader",
        "visual": "mer.features.faces:FaceReader",
        "lexical": "mer.features.text:TextReader",
    }
)
"""Readers (spec) of what no encoder gives, and (specs, weights, placement) of each modality's encoders."""


def open_reader(specs: Sequence[FeatureSpec], weights_cache: Path, device: str) -> tuple[Reader, Placement]:
    """The reader of specs that one pass gives, and where it computes: in bf16 only where that is proved
    (`mer.encoders.bf16_proof`).

    Raises:
        ConfigError, WeightsError: see `mer.features.extract.build_extractor`.
    """
    spec, kind = specs[0], _kind(specs[0])
    if not spec.encoded:
        single: Reader = READERS.load(kind)(spec)
        return single, choose_placement(device)
    from mer.encoders.bf16_proof import proved_placement

    resolved = resolve_weights(spec.source, weights_cache)
    encoder_reader = READERS.load(kind)
    placement = proved_placement(encoder_reader.trials, resolved, spec.precision, weights_cache, device)
    reader: Reader = encoder_reader(specs, resolved, placement)
    return reader, placement


def reader_implementations(spec: FeatureSpec, resolved: ResolvedWeights) -> tuple[str, ...]:
    """What the extraction of this feature runs, as tables of implementations have it, and what decodes for it."""
    decoding = () if spec.precomputed or spec.reads_text else (DECODING,)
    encoders = encoder_implementations(spec.modality, resolved) if spec.encoded else ()
    return (READERS[_kind(spec)], *encoders, *decoding)


def _kind(spec: FeatureSpec) -> str:
    if spec.precomputed:
        return FILES
    return {CROPS_SOURCE: CROPS, SOUND_SOURCE: SOUND}.get(spec.source, spec.modality)
