"""A stream of Whisper from clips to a served model: `mer layers`, `mer adapt`, `mer run`, and the prediction that reads it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from e2e_installation import Installation
from transformers import WhisperConfig, WhisperForConditionalGeneration

from infra.artifacts import ArtifactStore
from infra.objects import open_store
from mer.clips import Clip
from mer.posteriors import Posteriors
from mer.predictor.predictor import Predictor

pytestmark = [pytest.mark.slow, pytest.mark.nightly, pytest.mark.timeout(1800)]
VIEWS = 3


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A tiny random Whisper with its decoder, and the recipe that reads it."""
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32, encoder_layers=3, encoder_attention_heads=4, encoder_ffn_dim=48, decoder_layers=1, vocab_size=9, init_std=0.2,
        decoder_attention_heads=4, decoder_ffn_dim=48, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "tiny")
    text = (Path(__file__).parent / "whisper.yaml").read_text(encoding="utf-8")
    written = tmp_path / "heard.yaml"
    written.write_text(text.replace("WHISPER", str(tmp_path / "tiny")), encoding="utf-8")
    return written


def test_whisper_is_studied_adapted_and_served(
    installation: Installation, recipe: Path, tmp_path: Path
) -> None:
    corpus = ("--recipe", str(recipe), "--corpus", str(installation.corpus), "--name", "heard")
    studied = installation.mer("layers", *corpus, "--stream", "whisper").stdout
    assert "whisper" in studied
    adapted = installation.mer("adapt", *corpus).stdout
    assert "adaptation of the whisper encoder" in adapted
    made = {key: sha for key, sha in installation.results().items() if key[0] in ("features", "adapter")}
    assert sum(kind == "adapter" for kind, _ in made) == VIEWS
    installation.mer("run", *corpus)
    after = {key: sha for key, sha in installation.results().items() if key[0] in ("features", "adapter")}
    assert after == made, "every speed was extracted once, and nothing is adapted again"
    artifacts = ArtifactStore(open_store(installation.settings()), cache=tmp_path / "cache")
    with installation.catalogue() as catalogue:
        records = {
            kind: [one.ref for one in catalogue.artifacts() if one.ref.kind == kind]
            for kind in ("adapter", "evaluation")
        }
        version = catalogue.model_version("heard", 1)
        rows = {row.name: row for row in catalogue.clips("heard")}
    targets = json.loads(artifacts.read(records["adapter"][0], "adapter.json"))
    assert targets["block"]["stop"] - targets["block"]["start"] == 1
    holdout = Posteriors.from_parquet(artifacts.read(records["evaluation"][0], "holdout.parquet"))
    predictor = Predictor(artifacts.fetch(version.artifact), installation.settings().weights_folder)
    clips = [
        Clip(content=rows[i].content, name=i, path=rows[i].path, corpus_root=installation.corpus)
        for i in holdout.clip_ids
    ]
    answered = predictor.posteriors(clips)
    np.testing.assert_allclose(answered.probabilities(), holdout.probabilities(), atol=1e-4)
