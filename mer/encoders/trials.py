"""Inputs by which two loads of one encoder are compared: short, medium and long, one alone and two padded together.

Kernels are chosen by shape, so an encoder that is right on one length may be wrong on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mer.encoders.placement import Placement
from mer.encoders.weights import ResolvedWeights

Item = TypeVar("Item")
Trial = tuple[str, list[Tensor]]
"""What was shown, and every hidden state of it: (frames of all items, width), float32 on the processor."""
Trials = Callable[[ResolvedWeights, Placement], Iterator[Trial]]
"""Loads an encoder and shows it every trial, the same in the same order for every placement.

Raises ConfigError and WeightsError as loading does."""

SECONDS = {"short": 0.5, "medium": 3.3, "long": 16.0}
PICTURES = {"short": 1, "medium": 4, "long": 12}
WORDS = {"short": 1, "medium": 20, "long": 160}

_SAMPLE_RATE = 16_000
_SENTENCE = (
    "I told you twice already that nobody was supposed to know about the letter , and now they all laugh and ask "
    "me why I never said so myself when there still was time to do it ."
)


def sound_trials(resolved: ResolvedWeights, placement: Placement) -> Iterator[Trial]:
    """Of an encoder of speech."""
    from mer.encoders.acoustic import load_acoustic

    encoder = load_acoustic(resolved, placement)
    for name, seconds in SECONDS.items():
        samples = max(int(seconds * _SAMPLE_RATE), 2 * encoder.minimum_samples)
        sounds = [encoder.prepared(torch.from_numpy(voice(count))) for count in (samples, samples * 2 // 3)]
        states = partial(encoder.states_of_batch, indices=range(encoder.layer_count + 1))
        yield from _alone_and_together(name, sounds, states)


def text_trials(resolved: ResolvedWeights, placement: Placement) -> Iterator[Trial]:
    """Of an encoder of text; a prompt would change nothing of what runs."""
    from mer.encoders.lexical import load_lexical

    encoder = load_lexical(resolved, placement)
    for name, count in WORDS.items():
        words = list(islice(cycle(_SENTENCE.split()), count))
        texts = [encoder.tokens(" ".join(some)) for some in (words, words[: -(-count * 2 // 3)])]
        states = partial(encoder.states_of_batch, indices=range(encoder.layer_count + 1), tokens="all")
        yield from _alone_and_together(name, texts, states)


def picture_trials(resolved: ResolvedWeights, placement: Placement) -> Iterator[Trial]:
    """Of an encoder of pictures or of video, to which several are a batch already."""
    from mer.encoders.visual import load_visual

    encoder = load_visual(resolved, placement)
    for name, count in PICTURES.items():
        crops = np.concatenate(encoder.pieces(pictures(count)))
        states, output = encoder.read(crops, range(encoder.layer_count + 1), output=True, tokens="all")
        tensors = [states[index] for index in sorted(states)] + ([] if output is None else [output])
        yield f"{name}, {count} pictures", [tensor.float().cpu() for tensor in tensors]


def _alone_and_together(
    name: str, items: Sequence[Item], states: Callable[[Sequence[Item]], list[list[Tensor]]]
) -> Iterator[Trial]:
    for kind, some in (("single", items[:1]), ("batched", items)):
        each = states(some)
        yield (
            f"{name}, {kind}",
            [torch.cat([tensor.float().cpu() for tensor in state]) for state in zip(*each, strict=True)],
        )


def voice(samples: int) -> NDArray[np.float32]:
    """(samples,) at 16 kHz: a gliding tone with overtones in syllables, and a little noise."""
    rng = np.random.default_rng(0)
    time = np.arange(samples) / _SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time)) / _SAMPLE_RATE
    overtones = np.arange(1, 13)[:, None]
    sound = (np.sin(overtones * phase) / overtones).sum(axis=0) * (
        0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * time)
    )
    noisy = 0.2 * sound + 0.01 * rng.standard_normal(samples)
    return np.asarray(np.clip(noisy, -1, 1), dtype=np.float32)


def pictures(count: int) -> NDArray[np.uint8]:
    """(count, 112, 112, 3) RGB: soft patches of colour with grain, each another."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(40, 215, (count, 7, 7, 3)).repeat(16, axis=1).repeat(16, axis=2)
    return np.asarray(np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255), dtype=np.uint8)
