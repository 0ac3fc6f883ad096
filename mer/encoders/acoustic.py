"""Speech encoders by configuration: the `model_type` of config.json decides which class reads the weights."""

from __future__ import annotations

from mer.encoders.families import SPEECH, WAV2VEC_TYPES, model_type
from mer.encoders.hidden_states import LayeredEncoder, SpeechEncoder
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError

LAYERED = ("moonshine", *WAV2VEC_TYPES)


def load_acoustic(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredEncoder:
    """Load a speech encoder whose layers can be run in part, in evaluation mode.

    Raises:
        ConfigError: the weights are of no encoder that can be entered at any layer.
        WeightsError: the weights cannot be read or do not fill the model.
    """
    if (kind := model_type(resolved)) not in LAYERED:
        raise ConfigError(
            f"{resolved.source}: expected a speech encoder of type {', '.join(LAYERED)}, found {kind!r}"
        )
    encoder: LayeredEncoder = SPEECH.load(kind)(resolved, placement)
    return encoder


def load_speech(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> SpeechEncoder:
    """Load any supported speech encoder: those of `load_acoustic`, and Whisper (features only).

    Raises:
        ConfigError: not a supported speech encoder.
        WeightsError: the weights cannot be read or do not fill the model.
    """
    if (kind := model_type(resolved)) in LAYERED or kind not in SPEECH:
        return load_acoustic(resolved, placement)
    encoder: SpeechEncoder = SPEECH.load(kind)(resolved, placement)
    return encoder
