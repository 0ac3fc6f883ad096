"""An adapter as a folder: small tensors (safetensors), and what they belong to (JSON)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mer.adaptation.adapted_block import Adaptation, AdaptedBlock
from mer.adaptation.block import Block, BlockEncoder
from mer.adaptation.config import AdaptationConfig
from mer.errors import UNREADABLE, WeightsError
from mer.tensor_files import write_tensors
from mer.whole_files import write_whole

TENSORS = "adapter.safetensors"
RECORD = "adapter.json"
FORMAT = 1


def save_adapter(
    folder: Path, adaptation: Adaptation, base_identity: str, block: Block, config: AdaptationConfig
) -> None:
    """Write the adapter (safetensors) and what it belongs to (JSON, written last) into `folder`.

    Args:
        folder: created where absent.
        adaptation: the fit's result.
        base_identity: identity of the encoder's weights (`ResolvedWeights.identity`).
        block: the layers it was trained in.
        config: options it was trained with.
    """
    write_tensors(folder / TENSORS, adaptation.tensors)
    record = {
        "format": FORMAT,
        "base_identity": base_identity,
        "block": {"start": block.start, "stop": block.stop},
        "config": config.model_dump(mode="json"),
        "class_count": adaptation.class_count,
        "best_epoch": adaptation.best_epoch,
        "history": adaptation.history,
        "sha256": hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest(),
    }
    write_whole(folder / RECORD, json.dumps(record, indent=1, sort_keys=True).encode())


@dataclass(frozen=True)
class SavedAdapter:
    """What `save_adapter` wrote."""

    tensors: dict[str, Tensor]
    block: Block
    config: AdaptationConfig
    class_count: int


def load_adapter(folder: Path, encoder: BlockEncoder, base_identity: str) -> AdaptedBlock:
    """Put a saved adapter on a copy of its encoder; the encoder itself is unchanged.

    Raises:
        WeightsError: the files are absent, damaged, or belong to other base weights.
    """
    saved = read_adapter(folder, base_identity)
    adapted = AdaptedBlock(encoder, saved.block, saved.config, saved.class_count)
    adapted.layers.precision = "fp32"  # what it was trained in saves time; what is read of it should be exact
    adapted.load_small_tensors(saved.tensors)
    return adapted.eval()


def read_adapter(folder: Path, base_identity: str) -> SavedAdapter:
    """The saved tensors and options, checked.

    Raises:
        WeightsError: the files are absent, damaged, or belong to other base weights.
    """
    record = _read_record(folder)
    if record["base_identity"] != base_identity:
        raise WeightsError(
            f"adapter {folder}: trained on encoder {record['base_identity']}, found {base_identity}; "
            "load the encoder it was trained on, or adapt again"
        )
    try:
        if hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest() != record["sha256"]:
            raise WeightsError(f"adapter {folder}: {TENSORS} is not what was saved (sha256 differs)")
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"adapter {folder}: {TENSORS} cannot be read: {error}") from error
    try:
        block = Block(start=record["block"]["start"], stop=record["block"]["stop"])
        config = AdaptationConfig.model_validate(record["config"])
        class_count = int(record["class_count"])
    except UNREADABLE as error:
        raise WeightsError(f"adapter {folder}: {RECORD} cannot be read: {error!r}") from error
    return SavedAdapter(tensors, block, config, class_count)


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except UNREADABLE as error:
        raise WeightsError(f"adapter {folder}: {RECORD} cannot be read: {error!r}") from error
    needed = {"base_identity", "block", "config", "class_count", "sha256"}
    if not isinstance(record, dict) or record.get("format") != FORMAT or not needed <= record.keys():
        raise WeightsError(f"adapter {folder}: expected {RECORD} of format {FORMAT}, found something else")
    return record
