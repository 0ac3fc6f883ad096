"""A corpus of very short recordings taken from files to features through the real tasks, then with ten new ones."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

NEW = 10
SHARD = 512
EMOTIONS = ("neutral", "angry")


def grow(folder: Path, size: int) -> dict[str, float]:
    """Ingest and extract `size` clips, then `NEW` more, then `NEW` alone in a home of their own."""
    write_recordings(folder / "corpus", range(size))
    write_recordings(folder / "alone", range(size, size + NEW))
    os.environ["MER_HOME"] = str(folder / "home_alone")
    process(folder / "alone")  # loads the encoder and the code: nobody's subject here
    os.environ["MER_HOME"] = str(folder / "home_alone_again")
    alone = process(folder / "alone")
    os.environ["MER_HOME"] = str(folder / "home")
    first = process(folder / "corpus")
    write_recordings(folder / "corpus", range(size, size + NEW))
    grown = process(folder / "corpus")
    return {
        "incremental_ratio": grown["extract"] / alone["extract"],
        "incremental_seconds": grown["extract"],
        "incremental_ingest_seconds": grown["ingest"],
        "clips_per_second": size / (first["ingest"] + first["extract"]),
        "dataset_clips_per_second": (size + NEW) / grown["load"],
        "catalogue_rows_per_second": catalogue_rows(folder / "catalogue", size),
    }


def process(corpus: Path) -> dict[str, float]:
    """Seconds of listing, probing and cataloguing; of planning and extracting; of loading all features as one array."""
    from mer.features.spec import FeatureSpec
    from tasks.data.features import cut, extract_shard, feature_table, plan_features
    from tasks.data.ingestion import list_corpus, probe_shard, write_labels
    from tasks.data.kept_extractor import let_go
    from tasks.stage.workspace import workspace

    let_go()  # ten clips alone load the encoder: ten among many shall, too
    started = time.perf_counter()
    listing = list_corpus.fn(str(corpus), "growing", EMOTIONS)
    for entries in cut(listing.fresh, SHARD):
        probe_shard.fn("growing", entries, True)
    write_labels.fn(listing, EMOTIONS, len(listing.fresh))
    ingested = time.perf_counter()
    clip_ids = [row.name for row in workspace().catalogue.clips("growing")]
    spec = FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny")
    plan = plan_features.fn("growing", {"acoustic": spec}, clip_ids, SHARD)
    for shard in plan.shards:
        extract_shard.fn("growing", shard)
    extracted = time.perf_counter()
    table = feature_table(workspace(), plan.features["acoustic"], clip_ids)
    assert table.present.all()
    return {
        "ingest": ingested - started,
        "extract": extracted - ingested,
        "load": time.perf_counter() - extracted,
    }


def write_recordings(folder: Path, numbers: Sequence[int]) -> None:
    """Recordings of .3 s, each with a sound of its own."""
    import numpy as np
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    at = np.arange(4_800) / 16_000
    for number in numbers:
        noise = np.random.default_rng(number).normal(0, 0.02, at.size)
        sound = 0.3 * np.sin(2 * np.pi * (100 + number % 400) * at) + noise
        soundfile.write(folder / f"clip_{number:06d}.wav", sound.astype(np.float32), 16_000)


def catalogue_rows(home: Path, size: int) -> float:
    """Rows a second of a bulk write of clips with labels and transcripts, into SQLite."""
    from infra.catalogue import ClipUpsert, open_catalogue
    from infra.settings import load_settings

    rows = [
        ClipUpsert(
            content=f"{number:064x}", name=f"clip{number}", path=f"/clips/{number}.mp4", size=1, mtime_ns=1,
            duration_seconds=3.0, has_audio=True, has_video=True, speaker=f"s{number % 50}", transcript="words",
        )
        for number in range(size)
    ]  # fmt: skip
    with open_catalogue(load_settings(home=home)) as catalogue:
        catalogue.upsert_corpus("c", root=home, format="table", emotions=list(EMOTIONS))
        started = time.perf_counter()
        catalogue.upsert_clips("c", rows)
        catalogue.set_gold_labels("c", [(row.name, "neutral", 0.0) for row in rows])
        return size / (time.perf_counter() - started)
