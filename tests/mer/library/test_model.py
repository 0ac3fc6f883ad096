"""A package by folder or by a registered name: files and precomputed arrays in, answers out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_arrays import CLASSES, QUICK, Made

import mer
from mer.errors import ConfigError
from mer.fusion.fitted import save_fusion
from mer.predictor.package import FUSION_FOLDER, ModelPackage
from mer.recipes import Recipe


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    """A package whose fusion reads features of files, with a temperature."""
    streams = {
        name: {"features": {"modality": name, "source": f"files:{name}"}} for name in ("acoustic", "visual")
    }
    recipe = Recipe.model_validate({"name": "made", "emotions": CLASSES, **streams})
    fusion = mer.Fusion(**QUICK).fit(made.features, made.labels, speakers=made.speakers, valence=made.valence)
    package = tmp_path / "package"
    ModelPackage(recipe=recipe, temperature=2.0, system="fused").write(package)
    save_fusion(package / FUSION_FOLDER, fusion.fitted_)
    return package


@pytest.fixture
def registered(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that registers models, as pip leaves it."""
    (tmp_path / "my_store.py").write_text(
        "from pathlib import Path\n"
        "from mer.library.sources import RegisteredModel\n"
        "def find(name, version):\n"
        "    if (name, version) not in {('made', None), ('made', 2)}:\n"
        "        raise LookupError(f'my store has no {name!r}')\n"
        f"    return RegisteredModel(Path({str(folder)!r}), Path({str(tmp_path)!r}), 2)\n"
    )
    info = tmp_path / "my_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mer.model_sources]\na_broken = nowhere:find\nmine = my_store:find\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_store", None)


def corpus_of(made: Made, root: Path) -> Path:
    for name, values in made.features.items():
        (root / "features" / name).mkdir(parents=True)
        for row in range(4):
            if np.isfinite(values[row]).all():
                np.save(root / "features" / name / f"clip{row}.npy", values[row])
    for row in range(4):
        soundfile.write(root / f"clip{row}.wav", np.full(1600, 0.01 * (row + 1)), 16_000)
    return root


def test_it_says_what_each_stream_weighs_and_is_worth(made: Made, folder: Path, tmp_path: Path) -> None:
    model = mer.load_model(folder, cache=tmp_path / "weights")
    clips = mer.read_clips(corpus_of(made, tmp_path / "corpus"))
    table, answers = model.explain(clips), model.predict(clips)
    assert list(table.index) == [answer.name for answer in answers]
    assert list(table.columns) == [
        "discrete", "confidence", "weight_acoustic", "weight_visual", "lost_acoustic", "lost_visual"
    ]  # fmt: skip
    assert list(table.discrete) == [answer.discrete for answer in answers]
    lacks = ["visual" not in answer.modalities for answer in answers]
    assert any(lacks) and not table.loc[lacks, ["weight_visual", "lost_visual"]].any(axis=None)
    with pytest.raises(ConfigError, match="at least one file that can be read"):
        (tmp_path / "empty.wav").write_bytes(b"")
        model.explain([tmp_path / "empty.wav"])


def test_features_and_files_get_the_same_answers(made: Made, folder: Path, tmp_path: Path) -> None:
    model = mer.load_model(folder, cache=tmp_path / "weights")
    assert model.emotions == CLASSES
    four = {name: values[:4] for name, values in made.features.items()}
    posteriors = model.predict_features(four)
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    table = mer.read_clips(corpus_of(made, tmp_path / "corpus"))
    answers = model.predict(table)
    assert [answer.name for answer in answers] == [f"clip{row}" for row in range(4)]
    for row, answer in enumerate(answers):
        assert answer.discrete == CLASSES[int(posteriors[row].argmax())]
        assert answer.confidence == pytest.approx(posteriors[row].max(), abs=1e-5)
        assert (
            list(answer.probabilities) == list(CLASSES) and answer.status == "ok" and answer.version is None
        )


def test_a_file_that_cannot_be_read_has_a_status_and_the_rest_are_answered(
    folder: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "sound.wav", np.full(1600, 0.01), 16_000)
    (tmp_path / "note.mp4").write_text("no video")
    note, sound = mer.load_model(folder).predict([tmp_path / "note.mp4", tmp_path / "sound.wav"])
    assert (note.name, note.status, note.discrete, note.model) == ("note", "not_media", None, "made")
    assert sound.name == "sound" and sound.discrete in CLASSES


def test_a_stream_that_is_not_given_is_missing_and_others_are_refused(made: Made, folder: Path) -> None:
    model = mer.load_model(str(folder))
    nothing = np.full_like(made.features["visual"], np.nan)
    speech = {"acoustic": made.features["acoustic"]}
    assert np.array_equal(
        model.predict_features(speech), model.predict_features(speech | {"visual": nothing})
    )
    with pytest.raises(
        ConfigError,
        match="expected streams acoustic, visual, found also lexical",
    ):
        model.predict_features({"lexical": nothing})


def test_a_registered_model_is_found_by_name(registered: None, made: Made) -> None:
    for version in (None, 2):
        model = mer.load_model("made", version)
        assert model.emotions == CLASSES and model.streams == ("acoustic", "visual") and model.version == 2
        assert repr(model).endswith(f", version 2: acoustic, visual -> {', '.join(CLASSES)}>")
    with pytest.raises(
        ConfigError, match=r"'made' version 3: .* a_broken: cannot be loaded .*; mine: my store has no 'made'"
    ):
        mer.load_model("made", 3)


def test_what_is_no_model_says_what_was_expected(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"expected a package folder with package.json, found none at"):
        mer.load_model(tmp_path)
    (tmp_path / "fusion.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"found none at .*; mer.Fusion.load reads what is there"):
        mer.load_model(str(tmp_path))
    with pytest.raises(ConfigError, match="version: expected none for a package folder, found 2"):
        mer.load_model(folder, 2)
    with pytest.raises(ConfigError, match="model: expected a path, found NoneType"):
        mer.load_model(None)  # type: ignore[arg-type]
    monkeypatch.setattr("mer.library.sources.entry_points", lambda group: ())
    with pytest.raises(
        ConfigError, match=r"no source of models is installed \(entry point group mer.model_sources\)"
    ):
        mer.load_model("demo")
    with pytest.raises(ConfigError, match="clips: expected files, found 1 paths without one"):
        mer.load_model(folder).predict(["nothing.mp4"])
