"""A block of Whisper, entered from the cached hidden state below it: which maps are adapted, and that nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from mer.adaptation.adapted_block import AdaptedBlock
from mer.adaptation.block import Block
from mer.adaptation.config import AdaptationConfig
from mer.adaptation.finetune import LabelledFrames, adapt, adapted_features
from mer.adaptation.stack.fits import Split, adapt_stack
from mer.encoders.whisper import LayeredWhisper
from mer.features.dataset import RaggedTable
from mer.training.fit_masks import FitMasks

CLIPS, CLASSES, BLOCK = 36, 3, Block(1, 3)
CONFIG = AdaptationConfig(
    rank=4, epochs=4, batch_size=8, head_dropout=0.0, learning_rate=3e-3, head_learning_rate=1e-2, patience=0
)


@pytest.fixture(scope="module")
def encoder() -> LayeredWhisper:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=48, decoder_layers=0, vocab_size=9,
        pad_token_id=0, init_std=0.2,
    )  # fmt: skip
    return LayeredWhisper(WhisperEncoder(config).eval().requires_grad_(False), WhisperFeatureExtractor())


@pytest.fixture(scope="module")
def sounds() -> tuple[list[torch.Tensor], np.ndarray]:
    """Tones of three heights, one a class, .3 to 1 second in a little noise."""
    draw = np.random.default_rng(0)
    labels = np.arange(CLIPS) % CLASSES
    clips = []
    for label in labels:
        time = np.arange(int(draw.integers(4800, 16_000))) / 16_000
        tone = np.sin(2 * np.pi * (300, 900, 2500)[label] * time) + 0.1 * draw.standard_normal(time.size)
        clips.append(torch.from_numpy(0.3 * tone.astype(np.float32)))
    return clips, labels


@pytest.fixture(scope="module")
def prefix(encoder: LayeredWhisper, sounds: tuple[list[torch.Tensor], np.ndarray]) -> RaggedTable:
    """What the pipeline caches: hidden state 1 of every clip, frame by frame."""
    frames = [encoder.states(sound, (BLOCK.start,))[0].numpy() for sound in sounds[0]]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in frames])]).astype(np.int64)
    names = tuple(f"clip{row}" for row in range(CLIPS))
    return RaggedTable(names, np.concatenate(frames), offsets, np.ones(CLIPS, dtype=bool))


@pytest.mark.parametrize("method", ["lora", "dora", "bottleneck", "ia3", "prompt"])
def test_every_method_begins_at_the_frozen_encoder(
    encoder: LayeredWhisper, sounds: tuple[list[torch.Tensor], np.ndarray], prefix: RaggedTable, method: str
) -> None:
    """Clips of unequal length in one batch, from the cached state: what the whole frozen encoder gives of each alone."""
    block = AdaptedBlock(encoder, BLOCK, CONFIG.model_copy(update={"method": method}), CLASSES)
    found = adapted_features(block, prefix, batch_size=CLIPS).values
    for row, sound in enumerate(sounds[0]):
        state = encoder.states(sound, (BLOCK.stop,))[0]
        expected = torch.cat([state.mean(dim=0), state.std(dim=0, correction=0)]).numpy()
        if method == "prompt":  # a few more tokens are attended to
            assert np.abs(found[row] - expected).max() > 1e-4
        else:
            np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-4)


def test_all_six_maps_of_each_layer_are_adapted(encoder: LayeredWhisper) -> None:
    block = AdaptedBlock(encoder, BLOCK, CONFIG, CLASSES)
    maps = {
        name.split(".lora_")[0].removeprefix("adapter/") for name in block.fitted_tensors() if "lora_" in name
    }
    wanted = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "fc1", "fc2")
    assert len(maps) == 2 * len(wanted)
    for name in wanted:
        assert sum(one.endswith(name) for one in maps) == 2, name


def test_a_block_is_fitted_from_its_cached_prefix_and_side_by_side(
    encoder: LayeredWhisper, sounds: tuple[list[torch.Tensor], np.ndarray], prefix: RaggedTable
) -> None:
    before = {name: value.clone() for name, value in encoder.module.state_dict().items()}
    labels = sounds[1]
    clips = LabelledFrames(prefix, labels, CLASSES)
    train = np.arange(CLIPS) % 4 != 0
    alone = adapt(encoder, BLOCK, clips, FitMasks.all_training(train), CONFIG)
    assert alone.history[-1]["train_cross_entropy"] < 0.6 * alone.history[0]["train_cross_entropy"]
    (together,) = adapt_stack(encoder, BLOCK, clips, [Split(train, CONFIG.seed)], CONFIG)
    for name, value in alone.tensors.items():
        torch.testing.assert_close(together.tensors[name], value, atol=3e-5, rtol=1e-3)
    after = encoder.module.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
