"""The encoders of the full-size recipes: their published shapes with random weights, and what they cost by their shapes.

Known: the published configurations (TencentGameMate/chinese-hubert-large and chinese-wav2vec2-large,
openai/clip-vit-large-patch14, facebook/dinov2-large, Qwen/Qwen2.5-7B, baichuan-inc/Baichuan-13B-Base), as far as they
decide shapes. Reconstruction: the blocks (the paper
names layers 16-21 of HuBERT-large; for the others a quarter of the layers at the top, as for label words) and the size
of a typical clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mer.adaptation.block import Block
from mer.encoders.layer_tap import layers_of, run_tapped
from mer.encoders.placement import Placement

SECONDS, PICTURES, SIDE, TOKENS = 5.0, 8, 224, 64
"""A typical clip: of speech, pictures of it and their side in pixels, and tokens of its transcript under a prompt."""

CLASSES = 6


@dataclass(frozen=True, kw_only=True)
class FullSize:
    """One encoder."""

    stream: str
    layers: int
    block: Block
    build: Callable[[int, Placement], Any]
    """(layers, placement) -> an encoder whose layers can be entered anywhere, with random weights."""
    clip: Callable[[Any, int, int], Tensor]
    """(encoder, hidden state, seed) -> that state of a random typical clip, (rows, width)."""
    front_flops: Callable[[Any], float]
    """(transformers configuration) -> FLOPs of the front end for a typical clip."""
    span: int | None
    """Rows that see each other in attention; None: all rows of a clip."""

    def depth_block(self, depth: int) -> Block:
        """The block at this depth: the published one, or of a shallower encoder its upper half."""
        return self.block if depth == self.layers else Block(depth // 2, depth)


@contextmanager
def made_at(placement: Placement) -> Iterator[None]:
    """Modules made in this block lie where and in which type they shall run: no copy in full precision elsewhere."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(placement.dtype)
    try:
        with torch.device(placement.device):
            yield
    finally:
        torch.set_default_dtype(before)


def _frozen(model: Any) -> Any:
    return model.eval().requires_grad_(False)


def _speech_options(layers: int) -> dict[str, Any]:
    return {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": layers, "num_attention_heads": 16,
        "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True,
    }  # fmt: skip


def _hubert(layers: int, placement: Placement) -> Any:
    from transformers import HubertConfig, HubertModel

    from mer.encoders.wav2vec_family import LayeredWav2Vec

    with made_at(placement):
        model = _frozen(HubertModel(HubertConfig(**_speech_options(layers))))
    return LayeredWav2Vec(model, normalise=True, placement=placement)


def _wav2vec2(layers: int, placement: Placement) -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    from mer.encoders.wav2vec_family import LayeredWav2Vec

    with made_at(placement):
        model = _frozen(Wav2Vec2Model(Wav2Vec2Config(**_speech_options(layers))))
    return LayeredWav2Vec(model, normalise=True, placement=placement)


def _sound(encoder: Any, state: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    waveform = 0.1 * torch.randn(round(SECONDS * 16_000), generator=generator)
    found: Tensor = encoder.states(waveform, (state,))[0]
    return found


def _hubert_front(config: Any) -> float:
    """Convolutions, projection and convolutional positions."""
    frames, channels, total = round(SECONDS * 16_000), 1, 0.0
    for width, kernel, stride in zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True):
        frames = (frames - kernel) // stride + 1
        total += 2.0 * channels * width * kernel * frames
        channels = width
    positions = config.hidden_size**2 / config.num_conv_pos_embedding_groups * config.num_conv_pos_embeddings
    return total + 2.0 * frames * float(channels * config.hidden_size + positions)


def _clip(layers: int, placement: Placement) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from mer.encoders.picture_layers import PictureLayers

    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=layers, num_attention_heads=16,
        image_size=SIDE, patch_size=14, projection_dim=768,
    )  # fmt: skip
    with made_at(placement):
        model = _frozen(CLIPVisionModel(config))
    return PictureLayers(model, 1, 257, placement=placement)


def _dinov2(layers: int, placement: Placement) -> Any:
    from transformers import Dinov2Config, Dinov2Model

    from mer.encoders.picture_layers import PictureLayers

    config = Dinov2Config(
        hidden_size=1024, mlp_ratio=4, num_hidden_layers=layers, num_attention_heads=16, image_size=518, patch_size=14,
    )  # fmt: skip
    with made_at(placement):
        model = _frozen(Dinov2Model(config))
    return PictureLayers(model, 1, 257, placement=placement)


def _shown(encoder: Any, state: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(PICTURES, 3, SIDE, SIDE, generator=generator)
    module, placement = encoder.module, encoder.placement
    with torch.inference_mode():
        pixels = pixels.to(placement.device, placement.dtype)
        states, _ = run_tapped(lambda: module(pixel_values=pixels), layers_of(module), (state,), whole=False)
    return states[state].flatten(0, 1)


def _clip_front(config: Any) -> float:
    patches = float((SIDE // config.patch_size) ** 2)
    return 2.0 * PICTURES * patches * 3 * float(config.patch_size**2 * config.hidden_size)


def _qwen(layers: int, placement: Placement) -> Any:
    from transformers import Qwen2Config, Qwen2Model

    from mer.encoders.text_layers import TextLayers

    config = Qwen2Config(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=layers,
        num_attention_heads=28, num_key_value_heads=4, use_cache=False,
    )  # fmt: skip
    with made_at(placement):
        model = _frozen(Qwen2Model(config))
    return TextLayers(model, 8, 8, 0, reads="last", label_rows=_words(config), placement=placement)


def _baichuan(layers: int, placement: Placement) -> Any:
    values = {
        "vocab_size": 64_000, "hidden_size": 5120, "intermediate_size": 13_696, "num_hidden_layers": layers,
        "num_attention_heads": 40, "model_max_length": 4096,
    }  # fmt: skip
    return _causal(values, "Baichuan-13B", placement)


def _baichuan2(layers: int, placement: Placement) -> Any:
    values = {
        "vocab_size": 125_696, "hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": layers,
        "num_attention_heads": 32, "max_position_embeddings": 4096,
    }  # fmt: skip
    return _causal(values, "Baichuan2-7B", placement)


def _causal(values: dict[str, Any], name: str, placement: Placement) -> Any:
    from mer.encoders.baichuan import BaichuanModel, baichuan_config
    from mer.encoders.text_layers import TextLayers

    config, alibi = baichuan_config(values, name)
    config.model_type = "baichuan"
    with made_at(placement):
        model = _frozen(BaichuanModel(config, alibi=alibi))
    return TextLayers(model, 8, 8, 0, reads="last", label_rows=_words(config), placement=placement)


def _words(config: Any) -> Tensor:
    """Rows of label words: a classifier at zero would leave a first step nothing to tell the adapters."""
    return 0.02 * torch.randn(CLASSES, int(config.hidden_size), generator=torch.Generator().manual_seed(0))


def _told(encoder: Any, state: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    module, device = encoder.module, encoder.placement.device
    ids = torch.randint(3, int(module.config.vocab_size), (1, TOKENS), generator=generator).to(device)
    with torch.inference_mode():
        states, _ = run_tapped(
            lambda: module(input_ids=ids, attention_mask=torch.ones_like(ids)),
            layers_of(module),
            (state,),
            whole=False,
        )
    return states[state][0]


MODELS: dict[str, FullSize] = {
    "chinese-hubert-large": FullSize(
        stream="acoustic", layers=24, block=Block(15, 21), build=_hubert, clip=_sound,
        front_flops=_hubert_front, span=None,
    ),
    "clip-vit-l14": FullSize(
        stream="visual", layers=24, block=Block(18, 24), build=_clip, clip=_shown, front_flops=_clip_front,
        span=257,
    ),
    "chinese-wav2vec2-large": FullSize(
        stream="acoustic", layers=24, block=Block(15, 21), build=_wav2vec2, clip=_sound,
        front_flops=_hubert_front, span=None,
    ),
    "dinov2-large": FullSize(
        stream="visual", layers=24, block=Block(18, 24), build=_dinov2, clip=_shown, front_flops=_clip_front,
        span=257,
    ),
    "qwen2.5-7b": FullSize(
        stream="lexical", layers=28, block=Block(21, 28), build=_qwen, clip=_told, front_flops=lambda _: 0.0,
        span=None,
    ),
    "baichuan2-7b": FullSize(
        stream="lexical", layers=32, block=Block(24, 32), build=_baichuan2, clip=_told, front_flops=lambda _: 0.0,
        span=None,
    ),
    "baichuan-13b": FullSize(
        stream="lexical", layers=40, block=Block(30, 40), build=_baichuan, clip=_told, front_flops=lambda _: 0.0,
        span=None,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Costs:
    """What follows from the shapes of an encoder at its full depth."""

    parameters: int
    """Of the whole encoder, without a head."""
    block_parameters: int
    trainable: int
    """Of low-rank updates of this rank in all linear maps of the block, and of the classifier."""
    clip_flops: float
    """A typical clip, from its input to the block's end."""
    block_flops: float
    """The block's own share; a step costs twice that (forward, and backward to the adapters)."""
    rows: int
    """Of a typical clip."""
    width: int


def costs(model: FullSize, rows: int, rank: int, classes: int) -> Costs:
    """Count at full depth on the meta device, where weights have shapes only."""
    encoder = model.build(model.layers, Placement("meta"))
    layers = layers_of(encoder.module)
    each = [
        _layer_flops(layer, rows, model.span or rows, encoder.width) for layer in layers[: model.block.stop]
    ]
    low_rank = sum(
        rank * (part.in_features + part.out_features)
        for layer in layers[model.block.start : model.block.stop]
        for part in layer.modules()
        if isinstance(part, nn.Linear)
    )
    own = sum(
        value.numel()
        for layer in layers[model.block.start : model.block.stop]
        for value in layer.parameters()
    )
    return Costs(
        parameters=sum(value.numel() for value in encoder.module.parameters()),
        block_parameters=own,
        trainable=low_rank + classes * (2 * encoder.width + 1),
        clip_flops=model.front_flops(encoder.module.config) + sum(each),
        block_flops=sum(each[model.block.start :]),
        rows=rows,
        width=encoder.width,
    )


def _layer_flops(layer: nn.Module, rows: int, span: int, width: int) -> float:
    """Two for every multiplication and addition: linear maps, and scores and weighted sums of attention."""
    linear = sum(
        part.in_features * part.out_features for part in layer.modules() if isinstance(part, nn.Linear)
    )
    return 2.0 * rows * linear + 4.0 * rows * span * width


def prefix_table(encoder: Any, model: FullSize, state: int, clips: int) -> Any:
    """The cached hidden state of random clips."""
    from mer.features.dataset import RaggedTable

    parts: list[NDArray[np.float32]] = [
        model.clip(encoder, state, seed).float().cpu().numpy() for seed in range(clips)
    ]
    return RaggedTable(
        clip_ids=tuple(f"clip{number}" for number in range(clips)),
        values=np.concatenate(parts),
        offsets=np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64),
        present=np.ones(clips, dtype=bool),
    )
