"""What the chooser of a search sees of a catalogued corpus, for every reading it may choose between."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from catalogued import catalogue_clips

from infra.studies import finished_trials
from mer.adaptation.block import Block
from mer.errors import ConfigError
from mer.features.clip_feature import ClipFeature
from mer.features.spec import FeatureSpec
from mer.fusion.config import FusionConfig
from mer.recipes import Recipe
from mer.search.candidates import Candidate, SearchView, train_candidates
from mer.search.space import search_space
from tasks.data.dataset import _write_parquet, load_partitions
from tasks.data.shard_commit import commit_shard
from tasks.data.streams import stream_identity
from tasks.learn.search import SearchPlan, _views_of, believed, open_search, run_trials
from tasks.learn.search_record import keep_study, kept_studies
from tasks.stage.references import DatasetRef, FeatureSetRef, LearntStream, StreamInput, StreamInputs
from tasks.stage.workspace import Workspace, workspace

CLIPS, STATES, WIDTH = 60, 5, 6
RECIPE = Recipe.model_validate(
    {
        "name": "made",
        "emotions": ["angry", "happy", "sad"],
        "acoustic": {
            "features": {"modality": "acoustic", "source": "s", "layers": "all", "pooling": "mean_std"},
            "adaptation": {},
        },
        "visual": {
            "features": {"modality": "visual", "source": "files:face"},
            "alignment": {},
            "keep_unaligned": True,
        },
        "folds": {"use_published": True},
        "fusion": {"hidden": 8, "epochs": 3, "patience": 0},
    }
)
FOLD = np.arange(CLIPS) % 12 // 4


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MER_HOME", str(tmp_path / "home"))
    return workspace()


class World:
    """A corpus of three folds with stored features; `spoilt`: labels and features of fold 0's test clips are others."""

    def __init__(self, space: Workspace, name: str, *, spoilt: bool) -> None:
        generator = np.random.default_rng(5)
        emotion = generator.integers(0, 3, CLIPS)
        test = FOLD == 0
        # named after their content in one world and in the other alike: a clip is what it is
        self.ids = tuple(f"{row:064x}" for row in range(CLIPS))
        labels = np.where(test & spoilt, (emotion + 1) % 3, emotion)
        columns = {
            "name": list(self.ids),
            "content": list(self.ids),
            "emotion": labels.tolist(),
            "valence": np.where(test & spoilt, 5.0, emotion - 1.0).tolist(),
            "speaker": [f"s{row % 12}" for row in range(CLIPS)],
            "fold": FOLD.tolist(),
            "holdout": [False] * CLIPS,
            "canary": [False] * CLIPS,
            "part": [None] * CLIPS,
        }
        buffer = io.BytesIO()
        _write_parquet(columns, buffer)
        ref = space.artifacts.commit("dataset", name * 8, {"examples.parquet": buffer.getvalue()})
        views = ("fold0", "fold1", "fold2", "final")
        self.dataset = DatasetRef(ref, name, name, views, CLIPS, CLIPS, 0, 0, RECIPE.emotions, RECIPE.folds)

        def stored(stream: str, shape: tuple[int, ...], spec: FeatureSpec | None) -> FeatureSetRef:
            values = generator.normal(0, 1, (CLIPS, *shape)).astype(np.float32)
            values += np.eye(3, shape[-1])[emotion].reshape(CLIPS, *[1] * (len(shape) - 1), shape[-1])
            if spoilt:
                values[test] = 1e6  # to look at a single one would show
            rows = [ClipFeature(values=row[None], present=True) for row in values]
            key = f"{name}-{stream}"
            commit_shard(space, key, self.ids, lambda: rows)
            return FeatureSetRef(stream=stream, key=key, spec=spec, derived_from=media)

        speech, face = RECIPE.streams["acoustic"], RECIPE.streams["visual"]
        catalogue_clips(space, name, self.ids)
        media = FeatureSetRef(stream="acoustic", key=name, spec=speech.features, corpus=name)
        heard = stored("acoustic", (STATES, 2 * WIDTH), speech.features)
        seen = stored("visual", (4,), face.features)
        adapted = LearntStream(
            read_layer=2,
            layer_count=STATES - 1,
            block=Block(1, 2),
            adapted=stored("adapted", (2 * WIDTH,), None),
        )
        aligned = LearntStream(aligned=stored("aligned", (3,), None))
        self.inputs: StreamInputs = {
            "acoustic": StreamInput("acoustic", "acoustic", speech, heard, adapted),
            "visual": StreamInput("visual", "visual", face, seen, aligned),
        }


def choices(count: int) -> list[Recipe]:
    """The recipe itself, and recipes that a search would try."""
    made = search_space(RECIPE, ("concat",), states={"acoustic": STATES}, valence=False)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial(made.defaults({"acoustic": [2]}))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        made.draw(trial)
    return [made.recipe_of(trial.params) for trial in trials]


def seen_by(space: Workspace, world: World, asked: Recipe) -> SearchView:
    (view,) = _views_of(world.dataset, {"fold0": world.inputs})(asked)
    return view


def test_no_reading_shows_the_chooser_anything_of_the_test_fold(space: Workspace) -> None:
    """Blocks, pooling, streams and parts: labels and features of the test clips may be anything."""
    honest, spoilt = World(space, "honest", spoilt=False), World(space, "spoilt", spoilt=True)
    partition = load_partitions(space, honest.dataset)[1]["fold0"]
    judged = []
    asked = choices(25)
    widths = set()
    for world in (honest, spoilt):
        views = [seen_by(space, world, one) for one in asked]
        for view in views:
            assert len(view.data.emotion) == CLIPS - partition.test.sum() == CLIPS - 20
            assert all(float(values.abs().max()) < 1e3 for values in view.data.streams.values.values())
            widths.add(tuple(sorted(view.widths.items())))
        config = FusionConfig(model="concat", hidden=8, epochs=3, patience=0)
        judged.append(train_candidates([Candidate(config, (view,)) for view in views]))
    assert judged[0] == judged[1]
    assert len(widths) > 6, "the choices read different things"


def test_what_is_judged_is_what_a_run_of_the_found_recipe_reads(space: Workspace) -> None:
    """Against plain sums over the stored arrays."""
    world = World(space, "honest", spoilt=False)
    keep = np.flatnonzero(FOLD != 0)
    acoustic = _stored(space, world.inputs["acoustic"].features, world.ids)
    read = {"start": 1, "length": 3, "pooling": "mean"}
    stored = RECIPE.model_dump(mode="json")
    stream = {**stored["streams"]["acoustic"], "read": read, "keep_adapted": False}
    streams = {**stored["streams"], "acoustic": stream}
    asked = Recipe.model_validate({**stored, "streams": streams, "fused_streams": ["acoustic"]})
    view = seen_by(space, world, asked)
    assert set(view.data.streams.values) == {"acoustic"}
    wanted = (acoustic[:, 1, :WIDTH] + acoustic[:, 2, :WIDTH] + acoustic[:, 3, :WIDTH]) / 3
    train = wanted[keep][view.data.train.numpy()]
    standardised = (wanted[keep] - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(view.data.streams.values["acoustic"].numpy(), standardised, atol=1e-5)


def test_another_reading_is_another_key(space: Workspace) -> None:
    """A stage that found the model of another reading would train nothing and say nothing."""
    world = World(space, "honest", spoilt=False)
    seen: dict[str, str] = {}
    for asked in choices(60):
        stream = asked.streams["acoustic"]
        identity = str(stream_identity(replace(world.inputs["acoustic"], stream=stream)))
        what = stream.model_dump_json(include={"read", "keep_frozen", "keep_adapted"})
        assert seen.setdefault(what, identity) == identity
    assert len(set(seen.values())) == len(seen) > 20


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_recipe_itself_is_trained_to_its_end_and_held_against_the_found(space: Workspace) -> None:
    """Here it learns so slowly that it would be given up at the first rung."""
    world = World(space, "honest", spoilt=False)
    slow = RECIPE.fusion.model_copy(update={"learning_rate": 1e-4, "epochs": 4, "model": "concat"})
    recipe = RECIPE.model_copy(update={"fusion": slow})
    folds = {"fold0": world.inputs}
    plan = SearchPlan(study="", trials=8, batch=4, first_rung=1, fresh_seeds=1)
    options = search_space(recipe, ("concat",), states={"acoustic": STATES}, valence=False)
    study = open_search(space, world.dataset, plan, options, folds)
    views = _views_of(world.dataset, folds)
    run_trials(study, plan, options, views, nullcontext)
    trials = {trial.number: trial for trial in finished_trials(study)}
    assert trials[0].params["learning_rate"] == 1e-4 and trials[0].state.name == "COMPLETE"
    assert "PRUNED" in {trial.state.name for trial in trials.values()}
    best, fresh = believed(study, plan, options, views)
    assert "again 0" in study.user_attrs, "the recipe is trained again beside the best"
    assert fresh == max(values[0] for name, values in study.user_attrs.items() if name.startswith("again"))
    assert best.number in trials
    ref = keep_study(space, study, world.dataset, recipe, (best, options.recipe_of(best.params)))
    assert kept_studies(space, world.dataset.corpus, recipe.name) == [ref]
    kept = json.loads(space.artifacts.read(ref, "study.json"))
    assert {one["number"]: one["waf"] for one in kept["trials"]} == {
        number: trial.value for number, trial in trials.items()
    }
    assert kept["trials"][kept["best"]]["number"] == best.number and kept["finished"] == len(trials) == 8
    assert kept["trials"][kept["best"]]["again"] == pytest.approx(fresh)
    assert [one["ended"] for one in kept["trials"]].count(False) == sum(
        trial.state.name == "PRUNED" for trial in trials.values()
    )
    assert kept["trials"][0]["recipe_itself"] and kept["trials"][0]["options"]["learning_rate"] == "0.0001"
    assert open_search(space, world.dataset, plan, options, folds).study_name == study.study_name
    with pytest.raises(ConfigError, match="another --study"):
        named = replace(plan, study=study.study_name)
        other = search_space(RECIPE, ("concat",), states={"acoustic": STATES}, valence=False)
        open_search(space, world.dataset, named, other, folds)


def _stored(space: Workspace, features: FeatureSetRef, ids: tuple[str, ...]) -> np.ndarray:
    from tasks.data.features import feature_table

    return np.asarray(feature_table(space, features, ids).values)
