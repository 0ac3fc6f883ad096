"""`mer.load_model` by name finds what the catalogue has registered."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import mer
from mer.errors import ConfigError
from mer.fusion.fitted import save_fusion
from mer.library.sources import ENTRY_POINTS
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe
from tasks.serve.library import model_named, registered_version, version_of
from tasks.stage.workspace import Workspace, workspace

CLASSES = ("angry", "happy")


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


@pytest.fixture
def probabilities(space: Workspace, tmp_path: Path) -> np.ndarray:
    """What the fusion of a registered version says of four clips."""
    generator = np.random.default_rng(0)
    speech = generator.normal(0, 1, (40, 3)) + np.arange(40)[:, None] % 2
    fusion = mer.Fusion(epochs=3, hidden=4).fit(
        {"acoustic": speech}, [CLASSES[row % 2] for row in range(40)], speakers=np.arange(40) // 4
    )
    recipe = Recipe.model_validate(
        {
            "name": "made",
            "emotions": CLASSES,
            "acoustic": {"features": {"modality": "acoustic", "source": "files:speech"}},
        }
    )
    folder = tmp_path / "package"
    ModelPackage(recipe=recipe, system="fused").write(folder)
    save_fusion(folder / FUSION_FOLDER, fusion.fitted_)
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    ref = space.artifacts.commit("model", "0" * 64, files, meta={})
    space.catalogue.add_model_version("made", ref, evaluation=ref, metrics={}, idempotency_key="only")
    answers: np.ndarray = fusion.predict_proba(np.eye(4, 3))
    return answers


def test_a_version_is_fetched_and_answers(
    space: Workspace,
    probabilities: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, weights, version = registered_version("made", 1)
    assert (folder / "package.json").is_file() and weights == space.weights
    assert registered_version("made").version == 1, "the newest of a model without a champion"
    assert "made version 1 is not gated: never compared" in caplog.text
    with pytest.raises(LookupError, match="has no version 2 of a model 'made'"):
        registered_version("made", 2)
    space.catalogue.set_alias("made", "champion", 1, "the first")
    assert registered_version("made") == (folder, weights, version) and version == 1

    declared = EntryPoint("catalogue", "tasks.serve.library:registered_version", ENTRY_POINTS)
    monkeypatch.setattr("mer.library.sources.entry_points", lambda group: [declared])
    space.catalogue.add_model_version(
        "named", version_of(space, "made").artifact, metrics={}, idempotency_key="other name"
    )
    named = mer.load_model("named")
    assert (named.name, repr(named)[:24]) == ("named", "<Model named, version 1:")
    model = mer.load_model("made")
    np.testing.assert_allclose(model.predict_features({"acoustic": np.eye(4, 3)}), probabilities, rtol=1e-12)
    with pytest.raises(
        ConfigError, match=r"model 'nobody': .* catalogue: .*has no champion of a model 'nobody'"
    ):
        mer.load_model("nobody")


def test_the_project_declares_it() -> None:
    settings = tomllib.loads((Path(mer.__file__).parents[1] / "pyproject.toml").read_text())
    module, _, name = settings["project"]["entry-points"][ENTRY_POINTS]["catalogue"].partition(":")
    assert getattr(import_module(module), name) is registered_version


def test_without_a_name_the_one_model_that_is_served_is_meant(
    space: Workspace, probabilities: np.ndarray
) -> None:
    def register(name: str) -> None:
        ref = space.catalogue.model_version("made", 1)
        assert ref is not None
        space.catalogue.add_model_version(
            name, artifact=ref.artifact, evaluation=ref.artifact, metrics={}, idempotency_key=name
        )

    assert model_named(space, "") == "made", "the only one, served or not"
    assert model_named(space, "another") == "another", "what is named is looked up by others"
    register("other")
    with pytest.raises(LookupError, match="there are several: made, other"):
        model_named(space, "")
    space.catalogue.set_alias("other", "champion", 1, "the first")
    assert model_named(space, "") == "other"
    space.catalogue.set_alias("made", "champion", 1, "another first")
    assert model_named(space, "") == "made", "the one promoted last"


def test_without_any_model_it_says_how_to_make_one(space: Workspace) -> None:
    with pytest.raises(LookupError, match="`mer run` makes one"):
        model_named(space, "")
