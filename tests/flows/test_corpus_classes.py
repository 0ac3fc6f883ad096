"""Classes of a run over a corpus: its labels, also in a bucket; those that it is catalogued with, also when folders are added."""

from __future__ import annotations

import re
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest
from stub_bucket import serving
from typer.testing import CliRunner

from flows.cli import app
from flows.options import DemoOptions, RetrainOptions, checked_options
from infra.objects.bucket_address import BucketAddress
from infra.settings import load_settings
from mer.corpora import recognise
from mer.emotions import MER_EMOTIONS
from mer.errors import ConfigError, CorpusError
from mer.search.searched_recipe import recipe_piece
from tasks.stage.workspace import workspace

EMO_DB = [f"0{speaker}a01{letter}a" for speaker in (3, 8) for letter in "WLEAFTN"]
EMO_DB_CLASSES = ("angry", "boredom", "disgust", "fearful", "happy", "neutral", "sad")
MER_FOLDERS = [f"{label}/{label}{number}.wav" for label in ("happy", "sad") for number in range(3)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def made(root: Path, paths: list[str]) -> Path:
    for path in paths:
        noise = np.random.default_rng(zlib.crc32(path.encode())).normal(0, 3000, 4800).astype("<i2")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(root / path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(noise.tobytes())
    return root


def options(corpus: Path | str, **more: str) -> RetrainOptions:
    return checked_options(RetrainOptions, {"corpus": str(corpus), **more})


def catalogued(root: Path | str, **more: str) -> Path:
    """Catalogue a folder as a flow does, with the classes that it finds."""
    given = options(root, **more)
    name, folder = given.catalogue_name(str(root)), Path(root).resolve()
    workspace().catalogue.upsert_corpus(name, folder, "class_folders", given.load_recipe().emotions)
    return folder


@pytest.mark.parametrize("emotions", ["", "auto"])
@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        ([f"wav/{name}.wav" for name in EMO_DB], EMO_DB_CLASSES),
        ([f"{label}/{n}.wav" for label in ("Bored", "Happy") for n in (1, 2)], ("bored", "happy")),
    ],
    ids=["EMO-DB", "class folders"],
)
def test_a_corpus_in_a_bucket_has_the_classes_that_it_has_in_a_folder(
    paths: list[str], classes: tuple[str, ...], emotions: str, tmp_path: Path
) -> None:
    root = made(tmp_path / "mine", paths)
    here = options(root, emotions=emotions).load_recipe()
    objects = {f"my/{path}": (root / path).read_bytes() for path in paths}
    with serving(objects) as endpoint:
        address = f"s3://data/my?endpoint={endpoint}"
        there = options(address, emotions=emotions).load_recipe()
        answer = CliRunner().invoke(app, ["check", address, *(["--emotions", emotions] if emotions else [])])
    assert answer.exit_code == 0 and "recognised as" in answer.output, answer.output
    assert there == here and there.emotions == classes


def test_a_folder_that_is_new_in_a_bucket_is_a_class_where_auto_says_so(tmp_path: Path) -> None:
    body = (made(tmp_path, ["x.wav"]) / "x.wav").read_bytes()
    objects = {f"my/{path}": body for path in MER_FOLDERS}
    with serving(objects) as endpoint:
        address = f"s3://data/my?endpoint={endpoint}"
        assert options(address, emotions="auto").load_recipe().emotions == ("happy", "sad")
        objects["my/boredom/1.wav"] = body
        assert options(address, emotions="auto").load_recipe().emotions == ("boredom", "happy", "sad")


def test_a_catalogued_bucket_keeps_its_classes_and_is_not_fetched_to_find_them() -> None:
    address = "s3://data/my?endpoint=http://127.0.0.1:9"
    root = BucketAddress.parse(address, load_settings()).mirror(load_settings()).resolve()
    workspace().catalogue.upsert_corpus("my", root, "emo-db", EMO_DB_CLASSES)
    assert options(address).load_recipe().emotions == EMO_DB_CLASSES


@pytest.mark.parametrize("added", ["boredom/1.wav", "content/title.wav"])
def test_a_folder_that_is_added_does_not_change_the_classes(added: str, tmp_path: Path) -> None:
    root = catalogued(made(tmp_path / "mine", MER_FOLDERS))
    made(root, [added])
    label = added.split("/")[0]
    recipe = options(root).load_recipe()
    assert recipe.emotions == MER_EMOTIONS
    expected = rf"\): {label} \(1\).*--label-map, e\.g\. {label}= .*--emotions auto \(and another --model"
    with pytest.raises(CorpusError, match=expected):
        recognise(root, emotions=recipe.emotions, options=options(root).reading())
    checked = CliRunner().invoke(app, ["check", str(root)])
    assert checked.exit_code == 1 and re.search(expected, str(checked.exception)), checked.output
    left_out = options(root, label_map=f"{label}=")
    assert left_out.load_recipe().emotions == MER_EMOTIONS
    found = recognise(root, emotions=MER_EMOTIONS, options=left_out.reading())
    assert sum(entry.emotion is not None for entry in found.entries) == len(MER_FOLDERS)
    assert options(root, emotions="auto").load_recipe().emotions == (*sorted((label, "happy", "sad")),)


@pytest.mark.parametrize(
    ("first", "then", "classes"),
    [
        ({}, {}, ("boredom", "happy")),
        ({}, {"label_map": "content="}, ("boredom", "happy")),
        ({"emotions": "happy,boredom"}, {}, ("happy", "boredom")),
        ({"emotions": "happy,boredom"}, {"emotions": "auto"}, ("boredom", "happy")),
        ({}, {"recipe": "clips"}, MER_EMOTIONS),
        ({}, {"emotions": "mer"}, MER_EMOTIONS),
        ({"corpus_name": "other"}, {"label_map": "boredom="}, MER_EMOTIONS),
    ],
)
def test_what_is_said_counts_before_what_is_catalogued(
    first: dict[str, str], then: dict[str, str], classes: tuple[str, ...], tmp_path: Path
) -> None:
    root = catalogued(
        made(tmp_path / "mine", ["boredom/1.wav", "boredom/2.wav", "happy/3.wav", "happy/4.wav"]), **first
    )
    assert options(root, **then).load_recipe().emotions == classes


def test_a_folder_that_is_only_called_alike_has_its_own_classes(tmp_path: Path) -> None:
    known = catalogued(made(tmp_path / "a" / "data", ["boredom/1.wav", "happy/2.wav"]))
    other = made(tmp_path / "b" / "data", MER_FOLDERS)
    assert options(other).load_recipe().emotions == MER_EMOTIONS
    assert options(other, corpus_name="data").load_recipe().emotions == ("boredom", "happy")
    known.rename(tmp_path / "gone")
    assert options(other).load_recipe().emotions == ("boredom", "happy"), "the folder was moved"


@pytest.mark.parametrize("emotions", ["", "auto"])
def test_classes_of_a_single_clip_are_catalogued_and_not_trained_on(emotions: str, tmp_path: Path) -> None:
    root = made(tmp_path / "mine", ["Happy/1.wav", "Boredom/1.wav"])
    given = checked_options(DemoOptions, {"corpus": str(root), "emotions": emotions})
    assert given.load_recipe().emotions == ("boredom", "happy")
    answer = CliRunner().invoke(app, ["check", str(root), *(["--emotions", emotions] if emotions else [])])
    assert answer.exit_code == 0, answer.output
    assert "training: not possible: too few" in answer.output and "next: mer ingest" in answer.output


def test_auto_without_a_corpus_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a corpus with auto"):
        checked_options(DemoOptions, {"emotions": "auto"}).load_recipe()


@pytest.mark.parametrize("emotions", ["", "happy,boredom"])
def test_a_search_prints_classes_that_are_not_of_the_recipes_file(emotions: str, tmp_path: Path) -> None:
    root = catalogued(made(tmp_path / "mine", ["boredom/1.wav", "happy/2.wav"]))
    given = options(root, emotions=emotions)
    recipe = given.load_recipe()
    listed = "".join(f"- {name}\n" for name in recipe.emotions)
    assert recipe_piece(given.load_recipe_alone(), recipe) == f"emotions:\n{listed}"
