"""Level `states`: all variants and hidden states side by side, in training and in prediction the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.clips import Clip
from mer.errors import ConfigError
from mer.examples import Examples
from mer.features.dataset import FeatureTable, table_of
from mer.features.extract import build_extractor, extract_clips
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.predictor.predictor import Predictor
from mer.predictor.reading import BatchReading
from mer.predictor.states import stacked_states, states_tables
from mer.recipes import Recipe, Stream
from mer.recipes.loading import parse_recipe
from mer.systems.kinds import FitData, fit_system

CLASSES = ("angry", "happy")
RECIPE = """
name: searched
emotions: [angry, happy]
acoustic:
  features: {modality: acoustic, source: "wheel:moonshine-tiny", layers: [1, 2], pooling: mean}
  speeds: [0.9]
streams:
  sound: {features: {modality: acoustic, source: "sound:"}}
ensemble: {search: {folds: 2, weights: [0, 1], widths: [0.5], penalties: [0.1], inverse_penalties: [0.01]}}
"""


def stream(**options: object) -> Stream:
    features = {"source": "s", "layers": "all", "pooling": "mean_std"}
    return Recipe.model_validate(
        {"name": "x", "streams": {"acoustic": {"features": features, **options}}}
    ).streams["acoustic"]


def table(seed: int, shape: tuple[int, ...], absent: int | None = None) -> FeatureTable:
    values = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float16)
    return FeatureTable(tuple("abcd"), values, np.arange(4) != absent)


def test_variants_and_states_are_stacked_and_what_lacks_one_is_absent() -> None:
    plain, fast = table(0, (5, 6)), table(1, (5, 6), absent=2)
    made = stacked_states(stream(), [plain, fast], "acoustic")
    assert made.values.shape == (4, 2, 5, 6) and made.present.tolist() == [True, True, False, True]
    np.testing.assert_array_equal(made.values[[0, 1, 3], 1], fast.values[[0, 1, 3]])
    assert not made.values[2].any()
    block = stacked_states(stream(read={"start": 1, "length": 2, "pooling": "mean"}), [plain], "acoustic")
    np.testing.assert_array_equal(block.values[:, 0], plain.values[:, 1:3, :3])
    with pytest.raises(ConfigError, match="hidden states 0 to 4, found a block up to 6"):
        stacked_states(stream(read={"start": 3, "length": 4}), [plain], "acoustic")


def test_what_is_learnt_is_a_table_of_its_own() -> None:
    learnt = table(2, (3,), absent=0)
    tables = states_tables("acoustic", stream(), [table(0, (5, 6))], learnt)
    assert list(tables) == ["acoustic", "acoustic/learnt"]
    assert tables["acoustic/learnt"].values.shape == (4, 1, 1, 3)
    assert not tables["acoustic/learnt"].present[0]
    pixels = FeatureTable(tuple("ab"), np.zeros((2, 3, 4, 4, 3), np.uint8), np.ones(2, bool))
    for variants in ([], [pixels]):
        with pytest.raises(ConfigError, match="found face crops"):
            states_tables("visual", stream(features={"source": "files:x"}), variants, None)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    folder, draw = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    for number in range(8):
        noise = draw.standard_normal(int(16_000 * (0.6 + 0.05 * number))) * (0.02 + 0.2 * (number % 2))
        soundfile.write(folder / f"c{number}.wav", noise, 16_000)
    return [
        Clip(content=f"c{number}", name=f"c{number}", path=folder / f"c{number}.wav", corpus_root=folder)
        for number in range(8)
    ]


def test_a_searched_system_is_served_as_it_was_trained(clips: list[Clip], tmp_path: Path) -> None:
    """From the media, through the package's encoders at both speeds, the answers of training: to the precision of features."""
    recipe, weights = parse_recipe(RECIPE, origin="searched"), tmp_path / "weights"
    names = tuple(clip.name for clip in clips)
    trained: dict[str, FeatureTable] = {}
    for name, options in recipe.streams.items():
        variants = [
            table_of(names, extract_clips(build_extractor(spec, weights), clips))
            for spec in options.feature_variants
        ]
        trained |= states_tables(recipe.table_name(name), options, variants, None)
    assert {name: one.values.shape[1:3] for name, one in trained.items()} == {
        "acoustic": (2, 2), "acoustic/sound": (1, 1),
    }  # fmt: skip
    emotion = np.arange(8) % 2
    examples = Examples(
        names, emotion, np.full(8, np.nan, np.float32), tuple(f"s{row // 2}" for row in range(8)), emotion * 0,
        np.ones(8, np.float32),
    )  # fmt: skip
    everyone = np.ones(8, dtype=bool)
    choice = recipe.searched_choice
    assert choice is not None and choice.levels == ("states",)
    system = fit_system(
        choice.kind, FitData({"states": trained}, examples, everyone, ~everyone, CLASSES), choice.options
    )
    package = tmp_path / "package"
    system.save(package / FUSION_FOLDER)
    ModelPackage(recipe=recipe, system="ensemble").write(package)
    predictor = Predictor(package, weights)
    read = BatchReading(LoadedParts(predictor.package, package, weights), clips).streams("states")
    for name, one in trained.items():
        np.testing.assert_allclose(read[name].values, one.values, rtol=1e-5, atol=1e-6)
    answered, wanted = predictor.posteriors(clips), system.posteriors({"states": trained})
    np.testing.assert_allclose(answered.logits, wanted.logits, atol=1e-3)
    lost = predictor.explain(clips[:2]).confidence_lost
    assert lost is not None and lost.streams == system.streams
