"""What is measured in a filled home: processor time of the product's own functions, each on clips that it has not seen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, quantiles

from sqlalchemy import text

from benchmarks.scale.filled import CORPUS, FEW, RECIPE, SHARD, write_sound
from tasks.stage.workspace import Workspace


def one_clip(space: Workspace, folder: Path, repeats: int) -> dict[str, float]:
    """Processor milliseconds of ingesting, extracting and predicting one new clip, lower quartiles; the first clip warms up."""
    from mer.recipes.loading import parse_recipe
    from tasks.data.features import extract_shard, plan_features
    from tasks.data.named_files import catalogue_files
    from tasks.serve.prediction import PredictionRequest, predict_files

    specs = {"acoustic": parse_recipe(RECIPE, origin="scale").streams["acoustic"].features}
    seconds: dict[str, list[float]] = {"ingest": [], "features": [], "predict": []}

    def extract(name: str) -> None:
        for shard in plan_features.fn(CORPUS, specs, [name], SHARD).shards:
            extract_shard.fn(CORPUS, shard)

    seed = int.from_bytes(folder.name.encode()[-4:], "big") % 1_000_000
    for number in range(repeats + 1):
        path = write_sound(folder / f"{folder.name}_{number:03d}.wav", seed + number)
        asked = PredictionRequest([str(path)], out="", model=FEW)
        seconds["ingest"].append(timed(partial(catalogue_files.fn, CORPUS, [str(path)], True), space))
        seconds["features"].append(timed(partial(extract, path.stem), space))
        seconds["predict"].append(timed(partial(predict_files, asked), space))
    if space.catalogue.database.is_postgres:  # whose processor time comes in hundredths of a second
        return {f"{name}_ms": 1000 * mean(found[1:]) for name, found in seconds.items()}
    return {f"{name}_ms": 1000 * quantiles(found[1:], n=4)[0] for name, found in seconds.items()}


def whole_corpus(space: Workspace, folder: Path, *, with_files: bool, root: Path) -> dict[str, float]:
    """Processor seconds of what looks at all clips: listing, snapshot, growth, and with files whole ingestion.

    Args:
        space: of the home.
        folder: where a new clip comes to.
        with_files: the clips' files are there.
        root: of the corpus.
    """
    from flows.status.corpora import corpora
    from mer.recipes.loading import parse_recipe
    from tasks.data.dataset import snapshot_dataset
    from tasks.data.named_files import catalogue_files
    from tasks.stage.references import DatasetRef, SnapshotPlan

    recipe = parse_recipe(RECIPE, origin="scale")
    plan = SnapshotPlan.of(recipe)
    found = {"listing_s": timed(lambda: list(corpora(space)), space)}
    taken: list[DatasetRef] = []
    found["snapshot_s"] = timed(lambda: taken.append(snapshot_dataset.fn(CORPUS, plan)), space)
    later = write_sound(folder / "later.wav", 77)
    if with_files:
        found["whole_ingest_s"] = timed(lambda: _ingest(root, recipe.emotions), space)
    else:
        catalogue_files.fn(CORPUS, [str(later)], True)
    before, now = taken[0].membership, snapshot_dataset.fn(CORPUS, plan).membership
    found["growth_s"] = timed(lambda: space.catalogue.growth(before, now), space)
    return found


def retrained(space: Workspace) -> dict[str, float]:
    """Processor seconds of one fit of the served view, with its answers for all clips."""
    from mer.recipes.loading import parse_recipe
    from tasks.data.dataset import snapshot_dataset
    from tasks.data.features import plan_features
    from tasks.stage.references import SnapshotPlan

    recipe = parse_recipe(RECIPE, origin="scale")
    dataset = snapshot_dataset.fn(CORPUS, SnapshotPlan.of(recipe))
    names = [row.name for row in space.catalogue.clips(CORPUS)]
    plan = plan_features.fn(CORPUS, {"acoustic": recipe.streams["acoustic"].features}, names, SHARD)
    _complete(space, plan.shards)
    return {"retrain_s": timed(lambda: _fit(dataset, plan.features["acoustic"]), space)}


def _ingest(root: Path, emotions: tuple[str, ...]) -> None:
    from tasks.data.ingestion import list_corpus, probe_shard, write_labels

    listing = list_corpus.fn(str(root), CORPUS, emotions)
    probed = probe_shard.fn(CORPUS, listing.fresh, True)
    write_labels.fn(listing, emotions, probed)


def _complete(space: Workspace, shards: object) -> None:
    """Made-up features of the clips whose files are not there."""
    import numpy as np

    from mer.features.clip_feature import ClipFeature
    from tasks.data.features import content_ids
    from tasks.data.shard_commit import commit_shard

    for shard in shards:  # type: ignore[attr-defined]
        for features in shard.features:
            contents = list(content_ids(space, features, shard.clip_ids).values())
            made = [ClipFeature(np.ones((1, 2), np.float32), present=True) for _ in contents]
            commit_shard(space, features.key, contents, partial(list, made))


def _fit(dataset: object, features: object) -> None:
    """One fit of the served view, and its answers for all unlabelled clips."""
    from mer.recipes.loading import parse_recipe
    from mer.recipes.members import neural_choice
    from mer.training.partition import FINAL_VIEW
    from tasks.learn.fusion import fuse_view
    from tasks.stage.references import FusionJob, StreamInput, View

    recipe = parse_recipe(RECIPE, origin="scale")
    stream = StreamInput("acoustic", "acoustic", recipe.streams["acoustic"], features)  # type: ignore[arg-type]
    view = View(dataset, FINAL_VIEW)  # type: ignore[arg-type]
    fuse_view.fn(view, {"acoustic": stream}, FusionJob("fused", neural_choice(recipe.fusion)))


def timed(work: Callable[[], object], space: Workspace | None = None) -> float:
    """Processor seconds of this process, and of a Postgres server that answers it: what else the machine does does not count."""
    before = time.process_time() + _server_seconds(space)
    work()
    return time.process_time() + _server_seconds(space) - before


def _server_seconds(space: Workspace | None) -> float:
    """Processor seconds of the backends of our database so far; of SQLite, which has none, 0."""
    if space is None or not space.catalogue.database.is_postgres:
        return 0.0
    with space.catalogue.database.reading() as connection:
        query = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        numbers = list(connection.scalars(query))
    return sum(_seconds_of(number) for number in numbers)


def _seconds_of(number: int) -> float:
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:  # ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
