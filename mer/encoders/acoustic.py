"""Speech encoders by configuration: the `model_type` of config.json decides which class reads the weights."""

from __future__ import annotations

from mer.encoders.families import SPEECH, model_type
from mer.encoders.hidden_states import LayeredEncoder
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError


def load_acoustic(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredEncoder:
    """Load a speech encoder, whose layers can be run in part, in evaluation mode.

    Raises:
        ConfigError: not a supported speech encoder.
        WeightsError: the weights cannot be read or do not fill the model.
    """
    if (kind := model_type(resolved)) not in SPEECH:
        raise ConfigError(
            f"{resolved.source}: expected a speech encoder of type {', '.join(SPEECH)}, found {kind!r}"
        )
    encoder: LayeredEncoder = SPEECH.load(kind)(resolved, placement)
    return encoder
