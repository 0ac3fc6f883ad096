"""Any encoder whose layers can be entered and left anywhere, by the feature that names it: what adaptation trains."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mer.encoders.families import encoder_implementations
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights
from mer.implementations import Implementations

if TYPE_CHECKING:
    from mer.encoders.hidden_states import LayeredEncoder
    from mer.encoders.picture_layers import PictureLayers
    from mer.encoders.text_layers import TextLayers
    from mer.features.spec import FeatureSpec

LAYERS = Implementations(
    {
        "acoustic": "mer.features.layered:speech_layers",
        "visual": "mer.features.layered:picture_layers",
        "lexical": "mer.features.layered:text_layers",
    }
)
TRIALS = Implementations(
    {
        "acoustic": "mer.encoders.trials:sound_trials",
        "visual": "mer.encoders.trials:picture_trials",
        "lexical": "mer.encoders.trials:text_trials",
    }
)
"""What each modality's encoders are shown to compare their bf16 with their fp32."""


def load_layers(
    spec: FeatureSpec,
    resolved: ResolvedWeights,
    placement: Placement = ON_CPU,
    label_words: Sequence[str] | None = None,
) -> LayeredEncoder | PictureLayers | TextLayers:
    """The layers of the encoder that a feature is made by; `spec.tokens` and `spec.prompt` say what is read.

    Args:
        spec: the stream's frozen feature.
        resolved: its checked weights.
        placement: device and precision.
        label_words: of a causal model, a word for each class: the classifier starts from the language-model head's
            rows of these words.

    Raises:
        ConfigError: not an encoder whose layers can be entered one by one, or label words of a model without such a head.
        WeightsError: weights cannot be read or do not fill the model.
    """
    encoder: LayeredEncoder | PictureLayers | TextLayers = LAYERS.load(spec.modality)(
        spec, resolved, placement, label_words
    )
    return encoder


def layer_implementations(spec: FeatureSpec, resolved: ResolvedWeights) -> tuple[str, ...]:
    """What `load_layers` runs for this feature, as tables of implementations have it."""
    encoders = encoder_implementations(spec.modality, resolved)
    return (LAYERS[spec.modality], TRIALS[spec.modality], *encoders)


def speech_layers(
    spec: FeatureSpec, resolved: ResolvedWeights, placement: Placement, label_words: Sequence[str] | None
) -> LayeredEncoder:
    """See `load_layers`."""
    from mer.encoders.acoustic import load_acoustic

    return load_acoustic(resolved, placement)


def picture_layers(
    spec: FeatureSpec, resolved: ResolvedWeights, placement: Placement, label_words: Sequence[str] | None
) -> PictureLayers:
    """See `load_layers`."""
    from mer.encoders.visual import load_visual

    return load_visual(resolved, placement).layers(spec.tokens)


def text_layers(
    spec: FeatureSpec, resolved: ResolvedWeights, placement: Placement, label_words: Sequence[str] | None
) -> TextLayers:
    """See `load_layers`."""
    from mer.encoders.label_words import label_word_rows
    from mer.encoders.lexical import load_lexical

    encoder = load_lexical(resolved, placement, spec.prompt)
    rows = label_word_rows(resolved, encoder.bare_tokenizer, label_words) if label_words else None
    return encoder.layers(spec.tokens, rows)


def adaptation_placement(spec: FeatureSpec, resolved: ResolvedWeights, cache: Path) -> Placement:
    """Where an encoder is adapted and runs adapted: a GPU where there is one, in the feature's precision, but never in
    int8, through which nothing can be learnt, nor in a bf16 that is wrong there (`mer.encoders.bf16_proof`).
    """
    from mer.encoders.bf16_proof import proved_placement

    precision = "fp32" if spec.precision == "int8" else spec.precision
    return proved_placement(TRIALS.load(spec.modality), resolved, precision, cache)


def base_identity(spec: FeatureSpec, resolved: ResolvedWeights) -> str:
    """What an adapter belongs to: the weights, and where it matters the tokens read and the prompt."""
    parts = [resolved.identity]
    if spec.tokens != "class":
        parts.append(f"tokens={spec.tokens}")
    if spec.prompt is not None:
        parts.append(f"prompt=sha256:{hashlib.sha256(spec.prompt.encode()).hexdigest()}")
    return " ".join(parts)
