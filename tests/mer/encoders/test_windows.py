"""Windows of a long waveform give the frames of the whole, each once, with context on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import HubertConfig, HubertModel

from mer.encoders.wav2vec_family import LayeredWav2Vec
from mer.encoders.windows import windows


class Grid:
    """A speech encoder's grid of frames, without the encoder."""

    width, layer_count = 1, 1
    minimum_samples, stride = 400, 320
    frames_per_second = 50.0

    def __init__(self, longest_seconds: float = float("inf")) -> None:
        self.longest_seconds = longest_seconds

    def frame_count(self, samples: int) -> int:
        return max(0, (samples - self.minimum_samples) // self.stride + 1)

    def prepared(self, waveform: Tensor) -> Tensor:
        return waveform

    def states(self, waveform: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        return self.states_of_batch([waveform], wanted)[0]

    def states_of_batch(self, waveforms: Sequence[Tensor], wanted: Sequence[int]) -> list[list[Tensor]]:
        """Each frame is its own first sample."""
        cut = [waveform[: self.frame_count(waveform.numel()) * self.stride] for waveform in waveforms]
        return [[waveform[:: self.stride, None] for _ in wanted] for waveform in cut]


def kept_frames(encoder: Grid, samples: int, seconds: float) -> Tensor:
    waveform = torch.arange(samples, dtype=torch.float64)
    return torch.cat(
        [
            encoder.states(waveform[one.samples], (0,))[0][one.frames, 0]
            for one in windows(encoder, samples, seconds)
        ]
    )


@given(samples=st.integers(400, 400_000), seconds=st.floats(2.0, 12.0))
def test_frames_kept_are_those_of_the_whole_each_once(samples: int, seconds: float) -> None:
    expected = torch.arange(Grid().frame_count(samples), dtype=torch.float64) * Grid.stride
    torch.testing.assert_close(kept_frames(Grid(), samples, seconds), expected, rtol=0, atol=0)


@given(samples=st.integers(400, 2_000_000), seconds=st.floats(2.0, 12.0))
def test_every_window_is_full_and_every_frame_has_context(samples: int, seconds: float) -> None:
    """Nothing is padded, memory is bounded, and no frame that counts lies near a cut."""
    encoder = Grid()
    found = windows(encoder, samples, seconds)
    lengths = {one.samples.stop - one.samples.start for one in found}
    assert len(lengths) == 1
    assert lengths.pop() <= max(round(seconds * 16_000), 400)
    assert found[-1].samples.stop > samples - encoder.stride
    width = encoder.frame_count(found[0].samples.stop)
    context = width // 6 // 2
    for number, one in enumerate(found[1:], start=1):
        assert one.frames.start >= context
        assert width - found[number - 1].frames.stop >= context


def test_a_clip_of_one_window_is_not_touched() -> None:
    (only,) = windows(Grid(), 160_000, 10.0)
    assert (only.samples, only.frames) == (slice(0, 160_000), slice(None))


def test_an_encoder_of_fixed_length_gets_no_longer_windows() -> None:
    assert len(windows(Grid(longest_seconds=5.0), 160_000, 30.0)) > 1


@pytest.fixture(scope="module")
def hubert() -> LayeredWav2Vec:
    torch.manual_seed(1)
    config = HubertConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        conv_dim=(16, 16, 16), conv_kernel=(10, 3, 3), conv_stride=(5, 8, 8), num_feat_extract_layers=3,
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )  # fmt: skip
    return LayeredWav2Vec(HubertModel(config).eval(), normalise=True)


def test_front_end_in_windows_is_that_of_the_whole(hubert: LayeredWav2Vec) -> None:
    """Where nothing looks further than the overlap, windows change nothing at all: level and grid included."""
    sound = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    sound[50_000:] *= 0.1  # normalised over the whole, not window by window
    whole = hubert.states(sound, (0,))[0]
    prepared = hubert.prepared(sound)
    cut = windows(hubert, sound.numel(), 2.0)
    assert len(cut) == 4
    parts = [hubert.states_of_batch([prepared[one.samples]], (0,))[0][0][one.frames] for one in cut]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-5)


def test_deep_layers_in_windows_stay_near_the_whole(hubert: LayeredWav2Vec) -> None:
    sound = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    whole = hubert.states(sound, (2,))[0]
    prepared = hubert.prepared(sound)
    parts = [
        hubert.states_of_batch([prepared[one.samples]], (2,))[0][0][one.frames]
        for one in windows(hubert, sound.numel(), 3.0)
    ]
    assert float(torch.cosine_similarity(torch.cat(parts), whole, dim=1).min()) > 0.99
