from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mer.alignment.config import AlignmentConfig
from mer.alignment.fit import AlignmentFit
from mer.alignment.groups import ClipGroups
from mer.alignment.pretrain import (
    Alignment,
    PairedClips,
    TrainedEncoder,
    aligned_features,
    aligned_table,
    load_alignment,
    pretrain_alignment,
    save_alignment,
)
from mer.errors import ConfigError, DivergedError, WeightsError
from mer.features.dataset import FeatureTable
from mer.training.checkpoint import Checkpoint
from mer.training.resumable import Resumable

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]
Crops = tuple[NDArray[np.uint8], NDArray[np.float32]]
CONFIG = AlignmentConfig(embedding_size=16, hidden_size=32, epochs=25, batch_size=32, dropout=0.1, patience=0)
TINY = AlignmentConfig(
    embedding_size=16, hidden_size=32, epochs=3, batch_size=24, frames_per_step=2, patience=0
)
TRAIN = np.arange(200) < 150


def clips_of(
    pairs: Vectors | Crops, groups: ClipGroups | None = None, train: NDArray[np.bool_] = TRAIN
) -> PairedClips:
    return PairedClips(
        trained_values=pairs[0], anchor_values=pairs[1], train=train, validation=~train, groups=groups
    )


def run(
    pairs: Vectors, config: AlignmentConfig = CONFIG, groups: ClipGroups | None = None, **options: Any
) -> Alignment:
    return pretrain_alignment(clips_of(pairs, groups), config, **options)


def run_crops(crops: Crops, config: AlignmentConfig = TINY, **options: Any) -> Alignment:
    clips = clips_of(crops, train=np.arange(72) < 48)
    return pretrain_alignment(clips, config, TrainedEncoder("seed:clip-tiny"), **options)


def same(one: Alignment, other: Alignment) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(value, other.tensors[name]) for name, value in one.tensors.items()
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"anchor_projector": "whiten", "anchor_components": 12},
        {"anchor_projector": "raw"},
        {"cosine_weight": 0.5},
        {"queue": 100},
        {"hard_negatives": "speaker", "hard_negative_run": 8},
        {"hard_negatives": "source", "standardise_anchor": "source"},  # unknown: as without
    ],
)
def test_held_out_faces_find_their_voices(pairs: Vectors, change: dict[str, Any]) -> None:
    alignment = run(pairs, CONFIG.model_copy(update=change), groups=SPEAKERS)
    assert alignment.chance["chance_r1"] == 1 / 50
    for figure in ("trained_to_anchor_r5", "anchor_to_trained_r5"):
        assert alignment.retrieval[figure] > 3 * alignment.chance["chance_r5"]
    losses = [epoch["held_out_loss"] for epoch in alignment.history]
    assert losses[alignment.best_epoch] == min(losses) < losses[0]


def test_shuffled_pairs_show_no_gain(pairs: Vectors) -> None:
    control = run(pairs, CONFIG.model_copy(update={"shuffle_pairs": "all", "epochs": 15}))
    for k in (1, 5, 10):
        chance = control.chance[f"chance_r{k}"]
        error = (chance * (1 - chance) / 50) ** 0.5
        for way in ("trained_to_anchor", "anchor_to_trained"):
            assert control.retrieval[f"{way}_r{k}"] < chance + 3 * error


def test_the_control_never_sees_a_true_pair(pairs: Vectors) -> None:
    config = CONFIG.model_copy(update={"shuffle_pairs": "speaker"})
    fit = AlignmentFit(clips_of(pairs, SPEAKERS), config)
    assert not (fit.partner == torch.arange(200)).any()
    codes = SPEAKERS.codes("speaker")
    assert (codes[fit.partner.numpy()] == codes).all()
    assert TRAIN[fit.partner.numpy()[TRAIN]].all(), "a held-out anchor was learnt from"


def test_options_of_older_records_are_read() -> None:
    assert AlignmentConfig.model_validate({"shuffle_pairs": False}).shuffle_pairs == "none"
    assert AlignmentConfig.model_validate({"shuffle_pairs": True}).shuffle_pairs == "all"


def test_groups_that_do_not_fit_are_refused(pairs: Vectors) -> None:
    with pytest.raises(ConfigError, match="200 clips, groups of 3"):
        run(pairs, groups=ClipGroups.of_speakers(["a", "b", "c"]))


@pytest.mark.slow
def test_face_crops_train_their_encoder(crops: Crops) -> None:
    config = TINY.model_copy(update={"epochs": 25, "anchor_components": 3})
    alignment = run_crops(crops, config)
    assert alignment.shape.trained_input == "crops" and alignment.shape.trained_features == 96
    assert alignment.retrieval["trained_to_anchor_r5"] > 1.6 * alignment.chance["chance_r5"]
    untrained = run_crops(crops, config.model_copy(update={"epochs": 1}))
    name = "encoder.model.encoder.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(alignment.tensors[name], untrained.tensors[name])
    assert alignment.history[-1]["train_loss"] < alignment.history[0]["train_loss"]


class Killed(Exception):
    pass


SPEAKERS = ClipGroups.of_speakers([f"s{clip % 5}" if clip % 7 else None for clip in range(200)])


@pytest.mark.parametrize("kind", ["vectors", "vectors, queue", "crops", "crops, lora"])
def test_a_killed_fit_ends_with_the_same_bits(
    pairs: Vectors, crops: Crops, tmp_path: Path, kind: str
) -> None:
    def fit(**options: Any) -> Alignment:
        if kind.startswith("crops"):
            trunk = "lora" if kind.endswith("lora") else "full"
            return run_crops(crops, TINY.model_copy(update={"trunk": trunk, "queue": 30}), **options)
        more = {"queue": 90, "hard_negatives": "speaker", "standardise_anchor": "speaker"}
        changed = {"epochs": 3, **(more if kind.endswith("queue") else {})}
        return run(pairs, CONFIG.model_copy(update=changed), groups=SPEAKERS, **options)

    undisturbed = fit()
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    done: list[int] = []

    def kill(epoch: int, of: int) -> None:
        done.append(epoch)
        if epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(resume=Resumable(checkpoint, kill))
    torch.manual_seed(99)
    resumed = fit(resume=Resumable(checkpoint, lambda epoch, of: done.append(epoch)))
    assert done == [1, 2, 3]
    assert same(resumed, undisturbed) and resumed.retrieval == undisturbed.retrieval
    assert resumed.history == undisturbed.history


def test_patience_ends_the_fit(pairs: Vectors) -> None:
    visual, acoustic = pairs
    noise = np.random.default_rng(7).permutation(acoustic)
    alignment = run((visual, noise), CONFIG.model_copy(update={"patience": 3, "epochs": 60}))
    assert len(alignment.history) == alignment.best_epoch + 4 < 60


def test_saved_and_loaded_gives_the_same_features(pairs: Vectors, crops: Crops, tmp_path: Path) -> None:
    for number, (alignment, visual) in enumerate(
        [(run(pairs, CONFIG.model_copy(update={"epochs": 2})), pairs[0]), (run_crops(crops), crops[0])]
    ):
        folder = tmp_path / str(number)
        save_alignment(folder, alignment)
        assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
        loaded = load_alignment(folder)
        assert loaded.retrieval == alignment.retrieval and loaded.config == alignment.config
        features = aligned_features(loaded, visual)
        assert features.shape == (len(visual), 16) and features.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(features, aligned_features(alignment, visual))
        np.testing.assert_allclose(features[5:6], aligned_features(loaded, visual[5:6]), atol=1e-5)


def test_absent_clips_stay_absent(pairs: Vectors) -> None:
    alignment = run(pairs, CONFIG.model_copy(update={"epochs": 1}))
    present = np.array([True, False, True])
    table = aligned_table(alignment, FeatureTable(("a", "b", "c"), pairs[0][:3], present))
    assert table.present.tolist() == present.tolist()
    assert not table.values[1].any() and table.values[0].any()


def test_a_damaged_file_is_refused(pairs: Vectors, tmp_path: Path) -> None:
    save_alignment(tmp_path, run(pairs, CONFIG.model_copy(update={"epochs": 1})))
    weights = tmp_path / "alignment.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-2] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(WeightsError, match="sha256 differs"):
        load_alignment(tmp_path)
    (tmp_path / "alignment.json").write_text("{}")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_alignment(tmp_path)


def test_what_cannot_work_is_refused(pairs: Vectors, crops: Crops) -> None:
    visual, acoustic = pairs
    clips = clips_of(pairs)
    with pytest.raises(ConfigError, match="both `train` and `validation`"):
        pretrain_alignment(replace(clips, validation=TRAIN), CONFIG)
    with pytest.raises(ConfigError, match="199 clips of the trained side, 200 of the anchor"):
        pretrain_alignment(replace(clips, trained_values=visual[:-1]), CONFIG)
    with pytest.raises(ConfigError, match="at least 2"):
        pretrain_alignment(replace(clips, train=np.arange(200) < 1), CONFIG)
    with pytest.raises(ConfigError, match="expected vectors"):
        pretrain_alignment(replace(clips, trained_values=visual[:, None]), CONFIG)
    with pytest.raises(ConfigError, match=r"anchor must be \(clips, features\)"):
        pretrain_alignment(replace(clips, anchor_values=acoustic[:, None]), CONFIG)
    with pytest.raises(ConfigError, match="trainable encoder"):
        pretrain_alignment(clips_of(crops, train=np.arange(72) < 48), TINY)
    with pytest.raises(ConfigError, match="not finite"):
        run((np.where(visual > visual.max() - 0.1, np.nan, visual).astype(np.float32), acoustic))


def test_a_fit_that_diverges_ends(pairs: Vectors) -> None:
    visual, acoustic = pairs
    huge = np.where(np.arange(200)[:, None] == 0, np.float32(1e30), acoustic).astype(np.float32)
    try:  # a clip far outside float32's squares: refused by its loss, or harmless, but never NaN weights
        alignment = run((visual, huge), CONFIG.model_copy(update={"epochs": 5}))
    except DivergedError as error:
        assert "alignment, epoch" in str(error)
    else:
        assert all(torch.isfinite(value).all() for value in alignment.tensors.values())
