"""Attention over frames is read off fitted fusions: of each frame its own share, whatever place it has."""

from __future__ import annotations

import numpy as np
import pytest

from mer.examples import Examples
from mer.fusion.frame_attention import frame_attention
from mer.fusion.system import NeuralSystem
from mer.stream_tables import FeatureTable, RaggedTable
from mer.systems.kinds import FitData, fit_system

CLIPS, FRAMES, WIDTH = 8, 5, 4
IDS = tuple(f"c{row}" for row in range(CLIPS))
ATTENDING = ("audio_guided", "token_attention", "afg_early", "afg_hierarchical", "afg_guided")


def framewise(seed: int) -> RaggedTable:
    values = np.random.default_rng(seed).normal(size=(CLIPS * FRAMES, WIDTH)).astype(np.float32)
    return RaggedTable(IDS, values, np.arange(CLIPS + 1) * FRAMES, np.ones(CLIPS, dtype=bool))


TABLES = {
    "acoustic": framewise(0),
    "visual": framewise(1),
    "lexical": FeatureTable(
        IDS, np.ones((CLIPS, 3), np.float32) * np.arange(CLIPS)[:, None], np.ones(CLIPS, bool)
    ),
}


def fitted(model: str, level: str = "frames") -> NeuralSystem:
    emotion = np.arange(CLIPS) % 2
    examples = Examples(
        IDS, emotion, np.full(CLIPS, np.nan, np.float32), (None,) * CLIPS, np.zeros(CLIPS, np.int64), np.ones(CLIPS, np.float32)
    )  # fmt: skip
    everyone = np.ones(CLIPS, dtype=bool)
    tables = TABLES if level == "frames" else {"lexical": TABLES["lexical"]}
    options = {
        "model": model,
        "level": level,
        "hidden": 8,
        "epochs": 3,
        "learning_rate": 0.05,
        "dropout": 0.0,
    }
    system = fit_system(
        "neural", FitData({level: tables}, examples, everyone, ~everyone, ("a", "b")), options
    )
    assert isinstance(system, NeuralSystem)
    return system


def one_clip(order: list[int]) -> dict[str, object]:
    """The first clip with its frames in this order."""
    taken = {}
    for name, table in TABLES.items():
        if isinstance(table, RaggedTable):
            taken[name] = RaggedTable(
                IDS[:1], table.values[:FRAMES][order], np.array([0, FRAMES]), table.present[:1]
            )
        else:
            taken[name] = FeatureTable(IDS[:1], table.values[:1], table.present[:1])
    return taken


@pytest.mark.parametrize("model", ATTENDING)
def test_the_shares_go_with_their_frames(model: str) -> None:
    system, turned = fitted(model), [3, 0, 4, 1, 2]
    tables = {"frames": one_clip(list(range(FRAMES)))}
    found = frame_attention(system, tables)
    assert list(found) == ["acoustic", "visual"]
    moved = frame_attention(system, {"frames": one_clip(turned)})
    for name, weights in found.items():
        assert weights.shape == (FRAMES,) and weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(moved[name], weights[turned], atol=1e-5)
        assert np.ptp(weights) > 1e-6
    np.testing.assert_array_equal(frame_attention(system, tables)["visual"], found["visual"])


@pytest.mark.parametrize(("model", "level"), [("attention", "frames"), ("audio_guided", "utterance")])
def test_what_has_no_attention_over_frames_says_none(model: str, level: str) -> None:
    tables = one_clip(list(range(FRAMES))) if level == "frames" else {"lexical": one_clip([0])["lexical"]}
    assert frame_attention(fitted(model, level), {level: tables}) == {}
