"""Ingestion: clips and labels of a corpus folder into the catalogue, a snapshot out.

Every entry of the folder is accepted or quarantined with a reason; only new or changed files are read.
"""

from __future__ import annotations

from rich.markup import escape

from flows.mirror import local_corpus
from flows.options import DemoOptions, IngestOptions
from flows.pipeline_flow import pipeline_flow
from flows.progress import INGEST, StepProgress, begin_stage
from flows.reporting import show_ingest, show_named_files
from flows.terminal import console
from infra.settings import load_settings
from mer.errors import CorpusError
from mer.media.detector_choice import AUTO
from mer.recipes import Recipe
from mer.recipes.face_detectors import named_detectors, quality_detector
from tasks.data.dataset import snapshot_dataset, training_problem
from tasks.data.demo import make_demo_corpus
from tasks.data.face_detectors import detector_line, settled_detector
from tasks.data.features import cut
from tasks.data.ingestion import IngestReport, list_corpus, probe_shard, write_labels
from tasks.data.named_files import catalogue_files
from tasks.data.quality import measure_shard, plan_quality
from tasks.data.spans import spans_of
from tasks.data.transcription import plan_transcription, transcribe_shard
from tasks.stage.references import DatasetRef, SnapshotPlan


@pipeline_flow("ingest")
def ingest(options: IngestOptions) -> DatasetRef | None:
    """Ingest a corpus: recognise, probe, hash, catalogue or quarantine, and freeze a snapshot.

    Clips without labels are catalogued all the same. Where nothing can be trained on the labels there is no snapshot, and a line
    says why.
    """
    recipe = options.load_recipe()
    if options.only:
        name = options.catalogue_name(options.corpus)
        show_named_files(catalogue_files.submit(name, options.only, recipe.needs_sound).result())
        return None
    report = catalogue_corpus(recipe, options)
    complete_clips(report.corpus, recipe)
    plan = SnapshotPlan.of(recipe)
    if (problem := training_problem(report.corpus, plan)) is not None:
        console.print(f"[bold]ingested[/] {report.accepted} clips; a model needs labels: {escape(problem)}")
        return None
    return snapshot_dataset(report.corpus, plan)


def ingest_corpus(recipe: Recipe, options: DemoOptions) -> tuple[DatasetRef, IngestReport]:
    """The method: catalogue what is there, freeze the snapshot.

    Raises:
        CorpusError: nothing can be trained on its labels; said before anything is computed.
    """
    report = catalogue_corpus(recipe, options)
    plan = SnapshotPlan.of(recipe)
    if (problem := training_problem(report.corpus, plan)) is not None:
        raise CorpusError(problem)
    complete_clips(report.corpus, recipe)
    return snapshot_dataset(report.corpus, plan), report


def catalogue_corpus(recipe: Recipe, options: DemoOptions) -> IngestReport:
    """List what is there, probe what is new, write the labels; of a bucket, from a local copy."""
    begin_stage(INGEST)
    show_detectors(recipe)
    root = local_corpus(options.corpus) or make_demo_corpus(options.demo_clips, options.demo_seed)
    name = options.catalogue_name(root)
    listing = list_corpus(root, name, recipe.emotions, options.reading())
    spans = spans_of(cut(listing.fresh, recipe.shard_clips), listing.entries)
    probed = [probe_shard.submit(name, entries, recipe.needs_sound) for entries in spans]
    report = write_labels(listing, recipe.emotions, sum(future.result() for future in probed))
    show_ingest(report)
    return report


def complete_clips(corpus: str, recipe: Recipe) -> None:
    """What the recipe needs to know of clips beyond their table: transcripts and quality."""
    for recogniser in recipe.recognisers:
        transcribe_missing(corpus, recogniser, recipe.shard_clips)
    if recipe.quality is not None:
        measure_quality(corpus, recipe)


def transcribe_missing(corpus: str, recogniser: str, shard_clips: int) -> None:
    """Transcripts of what the corpus has none of."""
    shards = plan_transcription(corpus, recogniser, shard_clips)
    progress = StepProgress("transcripts", len(shards))
    for running in [transcribe_shard.submit(corpus, recogniser, shard) for shard in shards]:
        progress.advance(f"{progress.awaited(running)} clips by {recogniser}")


def measure_quality(corpus: str, recipe: Recipe) -> None:
    """Quality columns of what has none, by the detector of the recipe's crops."""
    detector = settled_detector(quality_detector(recipe), load_settings())
    shards = plan_quality(corpus, recipe.shard_clips, detector)
    progress = StepProgress("quality", len(shards))
    for running in [measure_shard.submit(corpus, shard, detector) for shard in shards]:
        progress.advance(f"{progress.awaited(running)} clips")


def show_detectors(recipe: Recipe) -> None:
    """Say which face detectors the recipe runs, what they cost, and how to get a better one."""
    settings = load_settings()
    names = named_detectors(recipe) or ((AUTO,) if recipe.quality is not None else ())
    for name in dict.fromkeys(settled_detector(name, settings) for name in names):
        console.say(detector_line(name, settings))
