"""Generators derived from what they are for: an epoch draws the same numbers after an interruption."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the purpose that `names` spell out; different purposes are independent."""
    text = "\0".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1


def epoch_generator(seed: int, epoch: int, *names: str) -> torch.Generator:
    """A fresh generator on the processor for one epoch and one purpose (`names`, e.g. "order", "mask").

    It depends on its arguments alone, never on what was drawn before: a run resumed at `epoch` repeats the
    undisturbed one.
    """
    return torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch, *names))
