"""Systems A and B from clips to a served model: every stream's encoder adapted, and served as it was evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from e2e_installation import Installation

from infra.artifacts import ArtifactRef, ArtifactStore
from infra.objects import open_store
from mer.clips import Clip
from mer.posteriors import Posteriors
from mer.predictor.predictor import Predictor

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
RECIPE = Path(__file__).parent / "towers.yaml"
VIEWS = 3


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, demo_corpus: Path, server_addresses: dict[str, str]
) -> Installation:
    """A home in which the recipe has run once."""
    home = tmp_path_factory.mktemp("towers") / "home"
    made = Installation(home=home, corpus=demo_corpus, environment=server_addresses)
    told = mer(made, "run").stdout
    assert "adaptation of the lexical encoder" in told and "final layers 5-6" in told
    assert "adaptation of the visual encoder" in told and "final layers 3-4" in told
    return made


def mer(installation: Installation, command: str, *more: str, check: bool = True):  # type: ignore[no-untyped-def]
    corpus = ("--recipe", str(RECIPE), "--corpus", str(installation.corpus), "--name", "towers")
    return installation.mer(command, *corpus, *more, check=check)


def refs(installation: Installation, kind: str) -> list[ArtifactRef]:
    with installation.catalogue() as catalogue:
        return [record.ref for record in catalogue.artifacts() if record.ref.kind == kind]


@pytest.fixture
def artifacts(ran: Installation, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(open_store(ran.settings()), cache=tmp_path / "cache")


def test_every_view_adapts_every_encoder(ran: Installation, artifacts: ArtifactStore) -> None:
    records = [json.loads(artifacts.read(ref, "adapter.json")) for ref in refs(ran, "adapter")]
    assert len(records) == 3 * VIEWS
    blocks = [(one["base_identity"].split(":")[0], *one["block"].values()) for one in records]
    assert blocks.count(("seed", 2, 4)) == VIEWS
    prompted = [one for one in records if "prompt=sha256:" in one["base_identity"]]
    assert len(prompted) == VIEWS and {tuple(one["block"].values()) for one in prompted} == {(4, 6)}
    assert all(one["base_identity"].endswith("tokens=patches") for one in records if one["block"]["start"] == 2
               and one["base_identity"].startswith("seed"))  # fmt: skip


def test_the_predictor_answers_as_the_system_was_evaluated(
    ran: Installation, artifacts: ArtifactStore
) -> None:
    """The same clips through the packaged adapters, from the media alone, and through the cached prefixes."""
    holdout = Posteriors.from_parquet(artifacts.read(refs(ran, "evaluation")[0], "holdout.parquet"))
    assert len(holdout) > 0
    with ran.catalogue() as catalogue:
        version = catalogue.model_version("towers", 1)
        rows = {row.name: row for row in catalogue.clips("towers")}
    predictor = Predictor(artifacts.fetch(version.artifact), ran.settings().weights_folder)
    streams = predictor.package.streams
    assert set(streams) == {"acoustic", "visual", "lexical"}
    assert (streams["visual"].block, streams["lexical"].block) == ((2, 4), (4, 6))
    assert {name: stream.adapter for name, stream in streams.items()} == {
        name: f"streams/{name}/adapter" for name in streams
    }
    clips = [
        Clip(content=rows[i].content, name=i, path=rows[i].path, corpus_root=ran.corpus, transcript=rows[i].transcript)
        for i in holdout.clip_ids
    ]  # fmt: skip
    answered = predictor.posteriors(clips)
    np.testing.assert_allclose(answered.probabilities(), holdout.probabilities(), atol=1e-4)
    np.testing.assert_allclose(answered.valence, holdout.valence, atol=2e-3)


def test_nothing_is_adapted_again(ran: Installation) -> None:
    before = ran.results()
    assert "WAF" in mer(ran, "adapt", "--stream", "lexical").stdout
    mer(ran, "adapt")
    mer(ran, "run")
    assert ran.results() == before


def test_a_stream_without_adaptation_is_an_error(ran: Installation, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = RECIPE.read_text(encoding="utf-8").replace(
        "  adaptation: {method: bottleneck, rank: 4, epochs: 1}\n", ""
    )
    other.write_text(text, encoding="utf-8")
    refused = ran.mer(
        "adapt", "--recipe", str(other), "--corpus", str(ran.corpus), "--name", "towers", "--stream", "acoustic",
        check=False,
    )  # fmt: skip
    assert refused.returncode != 0 and "adapted: visual, lexical" in refused.stderr
