"""bf16 only where it is right: an encoder is compared with itself in fp32 before anything is computed in bf16.

A processor's bf16 kernels may be wrong for some shapes (seen: oneDNN's AMX kernels with a tiny HuBERT, cosine .964), and
what they give looks like features. So the first load of weights on a kind of processor shows both arithmetics the same
inputs (`mer.encoders.trials`) and compares every hidden state; the verdict is remembered below the weights cache.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path

import torch
import transformers
from safetensors import safe_open
from torch import Tensor

from mer.encoders.placement import Placement, Precision, choose_placement
from mer.encoders.processor import processor_kind
from mer.encoders.trials import Trials
from mer.encoders.weights import ResolvedWeights
from mer.errors import UNREADABLE
from mer.whole_files import write_whole

LEAST_COSINE = 0.999
"""Every hidden state must point the way it does in fp32 at least by so much; right kernels gave .9998 and more."""

PROOF_VERSION = 2
"""Raised whenever trials or comparison change: verdicts remembered before then count no more."""

FOLDER = "bf16_proofs"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bf16Proof:
    """How one encoder's bf16 compares with its fp32 on one kind of processor."""

    cosine: float
    """The lowest of all trials and hidden states; -1 where bf16 gave something not finite."""
    trial: str
    """Where it was lowest, `long, batched` say."""
    state: int
    """Hidden state it was lowest in."""
    seconds: float
    """What the proof took."""

    @property
    def holds(self) -> bool:
        """Whether features may be computed in bf16."""
        return self.cosine >= LEAST_COSINE


def proved_placement(
    trials: Trials,
    resolved: ResolvedWeights,
    precision: Precision,
    cache: Path,
    device: str = "auto",
) -> Placement:
    """Where an encoder runs, in an arithmetic that is right there: bf16 that is wrong becomes fp32, and a line says so.

    Args:
        trials: of the encoder's modality.
        resolved: checked weights.
        precision: as for `place`; `auto` and `bf16` alike are proved, fp32 and int8 are taken as they are.
        cache: the weights cache; verdicts are remembered below it.
        device: as for `place`.

    Raises:
        ConfigError, WeightsError: the encoder cannot be loaded.
    """
    placement = choose_placement(device, precision)
    if placement.precision != "bf16":
        return placement
    if resolved.folder is None:  # seeded encoders are always in fp32
        return replace(placement, precision="fp32")
    proof = remembered_proof(trials, resolved, placement, cache)
    kind = processor_kind(placement.device)
    if proof is None:
        _log.warning(
            "%s: bf16 is not proved on %s (in fp32 the weights would not fit into memory): computed in bf16 as it is",
            resolved.source, kind,
        )  # fmt: skip
        return replace(placement, unproved=True)
    if proof.holds:
        return placement
    _log.warning(
        "%s: bf16 is wrong on %s (%s: hidden state %d has cosine %.4f to fp32, expected at least %s): computed in fp32; "
        "`python -m mer.encoders.precision_probe` names the operation",
        resolved.source, kind, proof.trial, proof.state, proof.cosine, LEAST_COSINE,
    )  # fmt: skip
    return replace(placement, precision="fp32")


def remembered_proof(
    trials: Trials, resolved: ResolvedWeights, placement: Placement, cache: Path
) -> Bf16Proof | None:
    """`prove`, once for these weights, kind of processor, number of threads and versions; None: lack of memory."""
    about = {
        "version": PROOF_VERSION,
        "trials": trials.__name__,
        "weights": resolved.identity,
        "processor": processor_kind(placement.device),
        "threads": torch.get_num_threads(),  # kernels are cut into blocks by them
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    record = cache / FOLDER / f"{name}.json"
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        if {field: known.get(field) for field in about} == about:
            return Bf16Proof(**{field.name: known[field.name] for field in dataclasses.fields(Bf16Proof)})
    except UNREADABLE:
        pass  # never proved, or the record is damaged: prove again
    proof = prove(trials, resolved, placement)
    if proof is not None:
        write_whole(record, json.dumps(about | asdict(proof), indent=1).encode())
    return proof


def prove(trials: Trials, resolved: ResolvedWeights, placement: Placement) -> Bf16Proof | None:
    """Compare the encoder in bf16 with itself in fp32 on the same device; None where fp32 does not fit into memory."""
    started = time.monotonic()
    if not _fits(resolved, placement):
        return None
    try:
        expected = list(trials(resolved, replace(placement, precision="fp32")))
    except torch.OutOfMemoryError:
        return None
    finally:
        gc.collect()  # the encoder in fp32, before the one in bf16 is loaded
    actual = trials(resolved, placement)
    lowest = min(_compared(expected, actual))
    return Bf16Proof(*lowest, seconds=round(time.monotonic() - started, 3))


def _compared(
    expected: Sequence[tuple[str, list[Tensor]]], actual: Iterator[tuple[str, list[Tensor]]]
) -> Iterator[tuple[float, str, int]]:
    for (trial, states), (_, others) in zip(expected, actual, strict=True):
        for index, (state, other) in enumerate(zip(states, others, strict=True)):
            yield cosine(state, other), trial, index


def cosine(expected: Tensor, actual: Tensor) -> float:
    """How alike two (frames, width) are: the lower of the cosine of the whole and the mean of the frames' cosines.

    The whole alone would be that of its largest frame where a few frames are far larger than all others, as in language
    models. -1 where `actual` is not finite.
    """
    if not bool(torch.isfinite(actual).all()):
        return -1.0
    whole = torch.cosine_similarity(expected.flatten(), actual.flatten(), dim=0)
    frames = torch.cosine_similarity(expected, actual, dim=-1).mean()
    return float(torch.minimum(whole, frames))


def _fits(resolved: ResolvedWeights, placement: Placement) -> bool:
    """Whether the weights in fp32 fit into what memory is free; unknown counts as yes."""
    free = int(torch.cuda.mem_get_info(placement.device)[0]) if placement.on_gpu else _free_memory()
    return free is None or 4 * _parameters(resolved) < 0.9 * free


def _free_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None


def _parameters(resolved: ResolvedWeights) -> int:
    count = 0
    for path in sorted(resolved.folder.glob("*.safetensors")) if resolved.folder else ():
        with safe_open(path, framework="np") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count
