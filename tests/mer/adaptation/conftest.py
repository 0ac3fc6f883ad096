from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mer.encoders.moonshine import LayeredMoonshine
from mer.features.dataset import RaggedTable

WIDTH = 32


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small models on a busy machine: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def moonshine_factory() -> type[_Factory]:
    return _Factory


class _Factory:
    """Moonshine encoders of four narrow layers with seeded weights."""

    @staticmethod
    def build(seed: int = 0) -> LayeredMoonshine:
        from transformers import MoonshineConfig
        from transformers.models.moonshine.modeling_moonshine import MoonshineEncoder

        config = MoonshineConfig(
            hidden_size=WIDTH, intermediate_size=64, encoder_num_hidden_layers=4, encoder_num_attention_heads=2,
            encoder_num_key_value_heads=2, decoder_num_attention_heads=2, decoder_num_key_value_heads=2,
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = MoonshineEncoder(config).eval()
            # The default initialisation is so small that layers hardly change what passes through them.
            for parameter in model.layers.parameters():
                if parameter.ndim == 2:
                    torch.nn.init.normal_(parameter, std=0.2)
        return LayeredMoonshine(model)


@pytest.fixture
def encoder() -> LayeredMoonshine:
    return _Factory.build()


def ragged(frames: list[NDArray[np.float32]], present: list[bool] | None = None) -> RaggedTable:
    return RaggedTable(
        clip_ids=tuple(f"clip{i}" for i in range(len(frames))),
        values=np.concatenate(frames),
        offsets=np.concatenate([[0], np.cumsum([len(one) for one in frames])]).astype(np.int64),
        present=np.array(present if present is not None else [True] * len(frames)),
    )


@pytest.fixture(scope="session")
def corpus() -> tuple[RaggedTable, NDArray[np.int64]]:
    """48 clips of three classes; which of three bursts a clip holds tells its class, whatever its length."""
    rng = np.random.default_rng(3)
    labels = np.arange(48) % 3
    bursts = rng.normal(size=(3, 4, WIDTH)) * 2
    clips = []
    for label in labels:
        frames = rng.normal(size=(int(rng.integers(8, 24)), WIDTH))
        at = int(rng.integers(0, len(frames) - 4))
        frames[at : at + 4] += bursts[label]
        clips.append(frames.astype(np.float32))
    return ragged(clips), labels.astype(np.int64)
