"""Records of saved models that were made on purpose: whatever their JSON, a typed error says which file it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from mer.adaptation.adapter_files import RECORD as ADAPTER
from mer.adaptation.adapter_files import load_adapter
from mer.alignment.alignment_files import RECORD as ALIGNMENT
from mer.alignment.alignment_files import load_alignment
from mer.domain.training_domain import RECORD as DOMAIN
from mer.domain.training_domain import TrainingDomain
from mer.encoders.weight_files import read_json
from mer.ensemble.system import RULE_FILE, EnsembleKind
from mer.errors import MerError
from mer.fusion.fitted import WEIGHTS_FILE, load_fusion
from mer.library.saved import RECORD as FUSION
from mer.library.saved import load_estimator
from mer.predictor.package import RECORD as PACKAGE
from mer.predictor.package import ModelPackage
from mer.systems.record import RECORD as SYSTEM
from mer.systems.record import recorded_kind
from mer.training.checkpoint import content_digest

TENSORS = {"model.a": torch.zeros(2)}


def _of_a_checkpoint(folder: Path) -> Any:
    """The record as it lies in the header of the weights, with a checksum that is right."""
    record = (folder / WEIGHTS_FILE).read_text(encoding="utf-8", errors="replace")
    header = json.dumps({"meta": record, "sha256": content_digest(TENSORS, record)})
    (folder / WEIGHTS_FILE).write_bytes(save(TENSORS, metadata={"checkpoint": header}))
    return load_fusion(folder)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "system": (SYSTEM, recorded_kind),
    "fusion": (WEIGHTS_FILE, _of_a_checkpoint),
    "estimator": (FUSION, lambda folder: load_estimator(folder, None)),
    "package": (PACKAGE, ModelPackage.read),
    "domain": (DOMAIN, TrainingDomain.load),
    "alignment": (ALIGNMENT, load_alignment),
    "adapter": (ADAPTER, lambda folder: load_adapter(folder, None, "x")),  # type: ignore[arg-type]
    "ensemble": (RULE_FILE, EnsembleKind().load),
    "configuration": ("config.json", lambda folder: read_json(folder / "config.json")["absent"]),
}
CRAFTED = {
    "empty": b"",
    "half": b"{",
    "list": b"[]",
    "number": b"1",
    "text": b'"x"',
    "null": b"null",
    "nan": b"NaN",
    "no utf-8": b"\xff\xfe{}",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "one number": b"1" * 10_000,
    "other types": b'{"kind": [], "format": 1, "streams": 1, "recipe": [], "widths": 7, "tables": {}, "classes": {}}',
    "numbers": b'{"kind": 1, "format": 1, "base_identity": "x", "block": 3, "config": 1, "class_count": 1e999, "sha256": 1}',
    "earlier package": b'{"recipe": [1]}',
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED.keys())
def test_a_crafted_record_is_said(reader: str, content: bytes, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(content)
    with pytest.raises((MerError, KeyError) if reader == "configuration" else MerError) as caught:
        read(tmp_path)
    assert len(str(caught.value)) < 20_000


FIELDS = [
    "kind",
    "format",
    "shape",
    "config",
    "sha256",
    "block",
    "class_count",
    "base_identity",
    "widths",
    "classes",
    "recipe",
    "streams",
    "level",
    "tables",
    "class_shares",
    "members",
    "needed",
    "framewise",
    "model",
]


@pytest.mark.parametrize("reader", sorted(READERS.keys() - {"configuration"}))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.dictionaries(
        st.sampled_from(FIELDS),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
def test_any_record_is_read_or_said(reader: str, values: dict[str, Any], tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_text(json.dumps(values))
    with pytest.raises(MerError):
        read(tmp_path)
        raise MerError("a kind may be any text")
