"""A recipe of two speech encoders, two face feature sets and text, from clips to the served prediction of a new file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import optuna
import pytest
from e2e_installation import Installation

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.objects import open_store
from mer.clips import Clip
from mer.demo import DemoConfig, generate_demo
from mer.posteriors import Posteriors
from mer.predictor.predictor import Predictor
from mer.predictor.reading import BatchReading
from mer.recipes import load_recipe

pytestmark = pytest.mark.slow
RECIPE = Path(__file__).parent / "streams.yaml"
STREAMS = ("hubert", "moonshine", "clip", "crops", "text")
"""In the order in which they are fused."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe with a small HuBERT of random weights as the second speech encoder."""
    import torch
    from transformers import HubertConfig, HubertModel

    folder = tmp_path_factory.mktemp("hubert")
    torch.manual_seed(3)
    config = HubertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48, conv_dim=(16, 16, 16),
        conv_kernel=(10, 8, 8), conv_stride=(5, 8, 8), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder)
    path = folder / "several.yaml"
    path.write_text(RECIPE.read_text(encoding="utf-8").replace("HUBERT", str(folder)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory,
    demo_corpus: Path,
    server_addresses: dict[str, str],
    recipe: Path,
) -> Installation:
    """A home in which the recipe has run once."""
    home = tmp_path_factory.mktemp("several") / "home"
    made = Installation(home=home, corpus=demo_corpus, environment=server_addresses)
    said = mer(made, recipe, "run").stdout
    for line in (
        "layer study, moonshine encoder",
        "layer study, hubert encoder",
        "adaptation of the moonshine encoder",
        "adaptation of the hubert encoder",
        "alignment of crops to hubert",
        "alignment of clip to moonshine",
    ):
        assert line in said, said[-4000:]
    return made


def mer(installation: Installation, recipe: Path, command: str, *more: str):  # type: ignore[no-untyped-def]
    corpus = ("--recipe", str(recipe), "--corpus", str(installation.corpus), "--name", "several")
    return installation.mer(command, *corpus, *more)


def refs(installation: Installation, kind: str) -> list[ArtifactRef]:
    with installation.catalogue() as catalogue:
        return [record.ref for record in catalogue.artifacts() if record.ref.kind == kind]


@pytest.fixture
def artifacts(ran: Installation, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(open_store(ran.settings()), cache=tmp_path / "cache")


def catalogued(ran: Installation) -> dict[str, Clip]:
    with ran.catalogue() as catalogue:
        return {
            row.name: Clip(content=row.content, name=row.name, path=row.path, corpus_root=ran.corpus, transcript=row.transcript)
            for row in catalogue.clips("several")
        }  # fmt: skip


def served(ran: Installation, artifacts: ArtifactStore) -> Predictor:
    with ran.catalogue() as catalogue:
        version = catalogue.model_versions("several")[-1]
    return Predictor(artifacts.fetch(version.artifact), ran.settings().weights_folder)


def test_what_is_served_has_what_was_learnt_of_every_stream(
    ran: Installation, artifacts: ArtifactStore
) -> None:
    package = served(ran, artifacts).package
    assert tuple(package.streams) == STREAMS == package.recipe.reads
    adapted = {name for name, stream in package.streams.items() if stream.adapter is not None}
    aligned = {name for name, stream in package.streams.items() if stream.alignment is not None}
    assert adapted == {"moonshine", "hubert"} and aligned == {"crops", "clip"}
    assert package.streams["moonshine"].read_layer is not None


def test_one_stream_is_missing_for_some_clips_and_the_answers_are_those_that_were_evaluated(
    ran: Installation, artifacts: ArtifactStore
) -> None:
    """The same clips through the packaged encoders, from the media alone, and through the cached features."""
    clips = catalogued(ran)
    holdout = Posteriors.from_parquet(artifacts.read(refs(ran, "evaluation")[0], "holdout.parquet"))
    predictor = served(ran, artifacts)
    answered = predictor.posteriors([clips[name] for name in holdout.clip_ids])
    np.testing.assert_allclose(answered.probabilities(), holdout.probabilities(), atol=1e-4)
    tables = BatchReading(predictor._parts, list(clips.values())).streams("utterance")
    present = {name: table.present for name, table in tables.items()}
    assert set(present) == {
        "acoustic/moonshine", "acoustic/hubert", "visual/crops", "visual/clip", "lexical/text"
    }  # fmt: skip
    assert present["acoustic/hubert"].all()
    missing = ~present["acoustic/moonshine"]
    assert 0 < missing.sum() < len(clips) / 2


def test_every_stream_is_scored_alone_and_votes(ran: Installation, artifacts: ArtifactStore) -> None:
    with ran.catalogue() as catalogue:
        (generation, *_) = catalogue.generations("several", "several")
    assert set(generation.voters) == {"ensemble", "acoustic", "visual", "lexical"}, (
        "of each modality, by default"
    )
    assert sum(generation.counts.values()) > 0


def test_a_new_file_is_answered(ran: Installation, tmp_path: Path) -> None:
    fresh = generate_demo(tmp_path / "fresh", DemoConfig(clips=12, seed=77, broken=0))
    files = sorted(fresh.rglob("*.mp4"))[:2]
    out = tmp_path / "answers.csv"
    ran.mer("predict", *map(str, files), "--model", "several", "--out", str(out), "--version", "1")
    with out.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["name"] for row in rows] == [file.stem for file in files]
    assert all(0 < float(row["confidence"]) <= 1 for row in rows)


@pytest.mark.nightly
def test_the_search_chooses_what_is_read_of_every_stream(
    ran: Installation, recipe: Path, tmp_path: Path
) -> None:
    found = tmp_path / "found.yaml"
    mer(
        ran,
        recipe,
        "search",
        "--trials",
        "4",
        "--batch",
        "2",
        "--study",
        "several",
        "--write-recipe",
        str(found),
    )
    storage = ran.settings().optuna_storage_url.get_secret_value()
    study = optuna.load_study(study_name="several", storage=storage)
    options = {name for trial in study.trials for name in trial.params}
    assert {
        "moonshine.block_start",
        "hubert.block_start",
        "moonshine.adaptation",
        "clip.alignment",
    } <= options
    best = load_recipe(str(found))
    assert set(best.streams) == set(STREAMS)


def test_nothing_is_computed_again(ran: Installation, recipe: Path) -> None:
    before = ran.results()
    mer(ran, recipe, "run")
    assert ran.results() == before
