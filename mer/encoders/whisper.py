"""Whisper's encoder as a stack of layers (Radford et al. 2022): log-mel frames, two convolutions, sinusoidal positions, pre-norm.

A clip is read as it is, not padded to the 30 seconds that Whisper was trained on: log-mel frames of the clip alone, positions
cut to its length, attention over its own frames. A clip of 3 seconds then costs a sixteenth, and a cached hidden state is as
long as the clip (emotion by layer with and without padding: `benchmarks.ravdess.whisper_padding`; transcribing wants the
padding, which is not what this is for). Whisper's attention knows no mask; here the frames that a batch pads are masked, so
that a clip gives the same alone and in a batch, but for the order in which sums are rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional
from transformers.models.whisper.feature_extraction_whisper import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mer.encoders.hidden_states import LayerStack, attention_bias
from mer.encoders.loading import pretrained
from mer.encoders.placement import ON_CPU, Placement
from mer.encoders.weight_files import read_json
from mer.encoders.weights import ResolvedWeights
from mer.errors import WeightsError

if TYPE_CHECKING:
    from typing import Any

MEL_HOP = 160
"""Samples of 16 kHz sound per log-mel frame."""
_NAMES_OF_THE_ENCODER = {r"^(model\.)?encoder\.": ""}
"""How checkpoints name the encoder's weights: whole models, models with a head for text, encoders alone -> the encoder."""


class LayeredWhisper(LayerStack):
    """`WhisperEncoder`, layer by layer: 16 kHz waveform of at most 30 seconds -> 50 frames a second.

    Args:
        model: of transformers.
        extractor: of the same checkpoint, for the log-mel frames.
        placement: where the model is.
    """

    layers_name = "layers"
    linear_names = (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2",
    )  # fmt: skip
    stride = 2 * MEL_HOP
    minimum_samples = stride

    def __init__(
        self, model: WhisperEncoder, extractor: WhisperFeatureExtractor, placement: Placement = ON_CPU
    ) -> None:
        self.module: Any = model
        self.placement = placement
        self.width = int(model.config.d_model)
        self.layer_count = int(model.config.encoder_layers)
        self.longest_seconds = int(model.config.max_source_positions) * self.stride / 16_000
        self._extractor = extractor

    def frame_count(self, samples: int) -> int:
        """See `SpeechEncoder.frame_count`: half as many as log-mel frames, rounded up; windows or not."""
        return -(-(samples // MEL_HOP) // 2)

    def entered(self, waveform: Tensor) -> Tensor:
        """Log-mel frames of the waveform alone, (1, mel bins, frames); sound beyond the longest one is not seen.

        They are computed in float32 whatever the encoder computes in.
        """
        whole = waveform[: round(self.longest_seconds * 16_000)]
        frames = self._extractor(
            whole.float().cpu().numpy(),
            sampling_rate=16_000,
            padding="do_not_pad",
            truncation=False,
            return_tensors="pt",
        )
        mel: Tensor = frames.input_features
        return self.placement.put(mel)

    def front_end(self, waveform: Tensor) -> Tensor:
        """Log-mel frames (1, mel bins, 2 * frames) -> hidden state 0, (1, frames, width), positions in it."""
        model = self.module
        hidden = functional.gelu(model.conv1(waveform))
        hidden = functional.gelu(model.conv2(hidden)).transpose(1, 2)
        states: Tensor = hidden + model.embed_positions.weight[: hidden.shape[1]]
        return states

    def run_each(self, hidden: Tensor, mask: Tensor | None, layers: Iterable[int]) -> Iterator[Tensor]:
        """Raw outputs of these layers; no frame attends to padded ones."""
        bias = attention_bias(mask, hidden.dtype)
        for layer in layers:
            hidden = self.module.layers[layer](hidden, bias)
            yield hidden

    def final_norm(self, hidden: Tensor) -> Tensor:
        """The encoder's last layer norm."""
        normed: Tensor = self.module.layer_norm(hidden)
        return normed


def load_whisper(resolved: ResolvedWeights, placement: Placement = ON_CPU) -> LayeredWhisper:
    """Load the encoder of a checkpoint, in evaluation mode: of a whole model, or alone. No decoder is read.

    Raises:
        WeightsError: weights of the encoder are missing, or cannot be read.
    """
    model = pretrained(WhisperEncoder, resolved, placement, names=_NAMES_OF_THE_ENCODER)
    return LayeredWhisper(model, _extractor(resolved), placement)


def _extractor(resolved: ResolvedWeights) -> WhisperFeatureExtractor:
    """As the checkpoint configures it; where it does not say, as all of Whisper's are."""
    assert resolved.folder is not None
    bins = int(read_json(resolved.folder / "config.json").get("num_mel_bins", 80))
    if not (resolved.folder / "preprocessor_config.json").is_file():
        return WhisperFeatureExtractor(feature_size=bins)
    try:
        extractor = WhisperFeatureExtractor.from_pretrained(resolved.folder)
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{resolved.source}: no usable preprocessor_config.json: {error}") from error
    if extractor.feature_size != bins or extractor.hop_length != MEL_HOP or extractor.sampling_rate != 16_000:
        raise WeightsError(
            f"{resolved.source}: expected a preprocessor_config.json of {bins} mel bins (feature_size), hop {MEL_HOP} and "
            f"16000 Hz, found {extractor.feature_size}, {extractor.hop_length} and {extractor.sampling_rate}"
        )
    return extractor
