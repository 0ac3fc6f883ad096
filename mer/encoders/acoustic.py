"""Speech encoders by configuration: the `model_type` of config.json decides which class reads the weights."""

from __future__ import annotations

from typing import Any

from mer.encoders.hidden_states import LayeredEncoder, SpeechEncoder
from mer.encoders.loading import model_type, pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import ConfigError

WAV2VEC_CLASSES = {
    "hubert": "HubertModel",
    "wav2vec2": "Wav2Vec2Model",
    "wavlm": "WavLMModel",
    "data2vec-audio": "Data2VecAudioModel",
}
LAYERED = ("moonshine", *WAV2VEC_CLASSES)


def load_acoustic(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredEncoder:
    """Load a speech encoder whose layers can be run in part, in evaluation mode.

    Raises:
        ConfigError: the weights are of no encoder that can be entered at any layer.
        WeightsError: the weights cannot be read or do not fill the model.
    """
    kind = model_type(resolved)
    if kind == "moonshine":
        from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

        from mer.encoders.moonshine import LayeredMoonshine

        return LayeredMoonshine(pretrained(MoonshineEncoder, resolved, placement), placement)
    if kind in WAV2VEC_CLASSES:
        import transformers

        from mer.encoders.wav2vec_family import LayeredWav2Vec

        model = pretrained(getattr(transformers, WAV2VEC_CLASSES[kind]), resolved, placement)
        return LayeredWav2Vec(model, normalise=_normalises(resolved), placement=placement)
    raise ConfigError(
        f"{resolved.source}: expected a speech encoder of type {', '.join(LAYERED)}, found {kind!r}"
    )


def load_speech(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> SpeechEncoder:
    """Load any supported speech encoder: those of `load_acoustic`, and Whisper (features only).

    Raises:
        ConfigError: not a supported speech encoder.
        WeightsError: the weights cannot be read or do not fill the model.
    """
    if model_type(resolved) != "whisper":
        return load_acoustic(resolved, placement)
    from transformers import WhisperFeatureExtractor, WhisperModel

    from mer.encoders.whisper import WhisperSpeech

    encoder: Any = pretrained(WhisperModel, resolved, placement).encoder
    return WhisperSpeech(encoder, WhisperFeatureExtractor.from_pretrained(resolved.folder), placement)


def _normalises(resolved: ResolvedWeights) -> bool:
    # Wav2Vec2FeatureExtractor's own default where a checkpoint does not say
    assert resolved.folder is not None
    return bool(read_json(resolved.folder / "preprocessor_config.json").get("do_normalize", True))
