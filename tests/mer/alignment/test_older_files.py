"""Alignments and options of earlier versions, in which the anchor was called acoustic and the trained side visual."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from mer.alignment.alignment_files import load_alignment, save_alignment
from mer.alignment.config import AlignmentConfig
from mer.alignment.pretrain import aligned_features
from mer.alignment.study import anchor_embeddings
from mer.errors import WeightsError
from mer.recipes import load_recipe

FIXTURE = Path(__file__).parents[2] / "fixtures" / "alignment_0_2_0"


@pytest.fixture
def expected() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
    return values


def test_an_older_file_answers_as_it_did(expected: dict[str, Any]) -> None:
    alignment = load_alignment(FIXTURE)
    assert alignment.shape.trained_input == "vectors"
    assert (alignment.shape.trained_features, alignment.shape.anchor_features) == (6, 5)
    assert alignment.config.anchor_components == alignment.shape.anchor_components == 4
    assert alignment.retrieval["trained_to_anchor_r1"] == expected["video_to_audio_r1"]
    assert not [name for name in alignment.retrieval if "video" in name or "seen" in name or "heard" in name]
    trained, anchors = (np.array(expected[f"{side}_values"], np.float32) for side in ("trained", "anchor"))
    np.testing.assert_allclose(aligned_features(alignment, trained), expected["aligned"], atol=1e-6)
    np.testing.assert_allclose(anchor_embeddings(alignment, anchors), expected["anchors"], atol=1e-6)


def test_saved_again_it_has_todays_names_and_the_same_tensors(tmp_path: Path) -> None:
    older = load_alignment(FIXTURE)
    save_alignment(tmp_path, older)
    again = load_alignment(tmp_path)
    assert {name: value.tolist() for name, value in again.tensors.items()} == {
        name: value.tolist() for name, value in older.tensors.items()
    }
    assert (again.shape, again.config, again.retrieval) == (older.shape, older.config, older.retrieval)
    text = (tmp_path / "alignment.json").read_text(encoding="utf-8")
    assert not [word for word in ("visual", "acoustic", "video", "audio") if word in text]


def test_records_before_there_were_trunks_are_read(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "alignment.json").read_text(encoding="utf-8"))
    for name in ("trunk", "lora_rank", "lora_alpha"):
        del record["shape"][name], record["config"][name]
    record["config"]["shuffle_pairs"] = False
    (tmp_path / "alignment.json").write_text(json.dumps(record), encoding="utf-8")
    assert load_alignment(tmp_path).shape == load_alignment(FIXTURE).shape


def test_a_file_of_a_later_form_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "alignment.json").read_text(encoding="utf-8"))
    (tmp_path / "alignment.json").write_text(json.dumps(record | {"format": 3}), encoding="utf-8")
    with pytest.raises(WeightsError, match="expected format 1 or 2, found 3"):
        load_alignment(tmp_path)


def test_options_under_their_older_names() -> None:
    older = {"acoustic_projector": "whiten", "acoustic_components": 12, "standardise_acoustic": "speaker"}
    config = AlignmentConfig.model_validate(older)
    assert (config.anchor_projector, config.anchor_components) == ("whiten", 12)
    assert config.standardise_anchor == "speaker"
    assert not set(older) & set(config.model_dump())
    assert AlignmentConfig.model_validate(config.model_dump()) == config
    assert older == {
        "acoustic_projector": "whiten",
        "acoustic_components": 12,
        "standardise_acoustic": "speaker",
    }


def test_an_option_under_both_names_is_refused() -> None:
    both = {"acoustic_components": 12, "anchor_components": 13}
    with pytest.raises(ValidationError, match="acoustic_components and anchor_components, two names of one"):
        AlignmentConfig.model_validate(both)


def test_a_recipe_with_older_names_is_read(tmp_path: Path) -> None:
    recipe = tmp_path / "older.yaml"
    recipe.write_text("name: older\nextends: demo\nvisual:\n  alignment: {acoustic_components: 6}\n")
    (options,) = [s.alignment for s in load_recipe(str(recipe)).streams.values() if s.alignment is not None]
    assert options.anchor_components == options.training.anchor_components == 6
