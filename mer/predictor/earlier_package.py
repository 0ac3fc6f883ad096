"""Records of packages of 0.1.0 and 0.2.0: one stream of each modality, and a folder for each kind of thing that was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEARNT = ("read_layer", "block", "tower_blocks")


def is_earlier(record: Mapping[str, Any]) -> bool:
    """Whether a package's record has that form."""
    return "streams" not in record


def translated(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as `mer.predictor.package.ModelPackage` has it.

    The speech stream's adapter lies in `adapter/`, those of the other encoders in `adapters/<stream>/`, the alignment of the face
    to speech in `alignment/`.
    """
    recipe = record["recipe"]
    read = [name for name in ("acoustic", "visual", "lexical") if recipe.get(name) is not None]
    read = [name for name in read if name in (recipe.get("fused_streams") or read)]
    streams: dict[str, dict[str, Any]] = {name: {} for name in read}
    for name, block in (record.get("tower_blocks") or {}).items():
        streams.setdefault(name, {}).update(block=block, adapter=f"adapters/{name}")
    speech, face = recipe.get("acoustic"), recipe.get("visual")
    if speech is not None:
        streams.setdefault("acoustic", {})["read_layer"] = record.get("read_layer")
        if record.get("block") is not None:
            streams["acoustic"].update(block=record["block"], adapter="adapter")
    aligned = face is not None and face.get("alignment") is not None and face.get("keep_aligned", True)
    served_face = streams.get("visual")
    if aligned and speech is not None and served_face is not None:
        served_face["alignment"] = "alignment"
    return {name: value for name, value in record.items() if name not in _LEARNT} | {"streams": streams}
