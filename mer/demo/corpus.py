"""Make the demo corpus: plan it, render the clips, write the table, and the manifest last.

The folder then looks like anybody's: `labels.csv` and `video/<name>.mp4`. `truth.csv` beside it tells what no
reader of labels may know (the emotions of unlabelled clips, what each modality shows); nothing in the
pipeline reads it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np

from mer.clips import Split
from mer.demo.clip_file import loudness_curve, write_clip
from mer.demo.config import DemoConfig
from mer.demo.face import draw_clip, make_looks
from mer.demo.plan import ClipPlan, plan_corpus
from mer.demo.speech import VOICES, speak
from mer.errors import CorpusError
from mer.whole_files import sweep_folder, write_whole

GENERATOR_VERSION = 1
"""Raised when the same config would give other clips."""

MANIFEST = "demo.json"
_IN_PROGRESS = "demo-in-progress.json"
_LABELS = ("name", "emotion", "valence", "speaker", "transcript", "split")
_TRUTH = ("name", "emotion", "valence", "strength", "voice_shows", "text_shows", "face_shows", "broken")


def generate_demo(
    root: Path,
    config: DemoConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 2,
) -> Path:
    """Make the corpus below `root` unless it is there already; returns `root`.

    An interrupted run is taken up where it stopped; a demo corpus of another config is replaced.

    Args:
        root: folder, made if absent. A folder that holds anything but a demo corpus is refused.
        config: what to make.
        progress: called with (clips done, clips in all) after every clip.
        workers: threads that render.

    Raises:
        CorpusError: the folder holds something else.
    """
    config = config or DemoConfig()
    identity = _identity(config)
    plans = plan_corpus(config)
    if _recorded(root / MANIFEST) == identity and _complete(root, plans):
        return root
    _prepare(root, identity, config)
    missing = [plan for plan in plans if not _media(root, plan).exists()]
    done = len(plans) - len(missing)
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="demo") as pool:
        futures = [pool.submit(_make_clip, root, plan, config) for plan in missing]
        try:
            for future in as_completed(futures):
                future.result()
                done += 1
                if progress is not None:
                    progress(done, len(plans))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    _write_table(root / "labels.csv", _LABELS, (_label_row(plan) for plan in plans))
    _write_table(root / "truth.csv", _TRUTH, ([getattr(plan, column) for column in _TRUTH] for plan in plans))
    _write_manifest(root / MANIFEST, identity, config)
    (root / _IN_PROGRESS).unlink(missing_ok=True)
    return root


def render_clip(plan: ClipPlan, config: DemoConfig) -> tuple[np.ndarray, np.ndarray, int]:
    """Render one clip: (frames uint8 (time, side, side, 3) RGB, waveform float32 (samples,), sampling rate in
    Hz).
    """
    generator = np.random.default_rng([config.seed, 3, plan.number])
    waveform, rate = speak(plan.transcript, VOICES[plan.speaker], plan.voice_shows, plan.strength, generator)
    loudness = loudness_curve(waveform, rate, config.frames_per_second)
    looks = make_looks(plan.speaker)
    frames = draw_clip(looks, plan.face_shows, plan.strength, loudness, config.picture_size, generator)
    return frames, waveform, rate


def _make_clip(root: Path, plan: ClipPlan, config: DemoConfig) -> None:
    target = _media(root, plan)
    if plan.broken == "empty":
        write_whole(target, b"")
    elif plan.broken == "text":
        write_whole(target, b"This is a note that somebody renamed to .mp4.\n" * 40)
    else:
        frames, waveform, rate = render_clip(plan, config)
        sound = None if plan.broken == "silent_film" else waveform

        def fill(temporary: Path) -> None:
            write_clip(temporary, frames, config.frames_per_second, sound, rate)
            if plan.broken == "truncated":
                os.truncate(temporary, temporary.stat().st_size * 6 // 10)

        write_whole(target, fill)


def _media(root: Path, plan: ClipPlan) -> Path:
    return root / "video" / f"{plan.name}.mp4"


def _complete(root: Path, plans: Sequence[ClipPlan]) -> bool:
    return (root / "labels.csv").is_file() and all(_media(root, plan).exists() for plan in plans)


def _prepare(root: Path, identity: str, config: DemoConfig) -> None:
    """Make the folder ready: keep what an interrupted run of the same config made, remove another demo
    corpus.
    """
    root.mkdir(parents=True, exist_ok=True)
    present = {item.name for item in root.iterdir() if not item.name.startswith(".")}
    started = _recorded(root / _IN_PROGRESS) or _recorded(root / MANIFEST)
    if present and started is None:
        raise CorpusError(f"{root} holds something that is no demo corpus: choose an empty folder")
    (root / "video").mkdir(exist_ok=True)
    for folder in (root, root / "video"):
        sweep_folder(folder)
    if started != identity:
        for clip in (root / "video").glob("demo_*.mp4"):
            clip.unlink()
    _write_manifest(root / _IN_PROGRESS, identity, config)
    (root / MANIFEST).unlink(missing_ok=True)


def _identity(config: DemoConfig) -> str:
    facts = json.dumps(
        {"generator": GENERATOR_VERSION, "config": config.model_dump(mode="json")}, sort_keys=True
    )
    return hashlib.sha256(facts.encode()).hexdigest()


def _recorded(manifest: Path) -> str | None:
    """Identity in a manifest; None where there is none that can be read."""
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    identity = facts.get("identity") if isinstance(facts, dict) else None
    return identity if isinstance(identity, str) else None


def _write_manifest(path: Path, identity: str, config: DemoConfig) -> None:
    facts = {"identity": identity, "generator": GENERATOR_VERSION, "config": config.model_dump(mode="json")}
    write_whole(path, (json.dumps(facts, indent=1) + "\n").encode())


def _label_row(plan: ClipPlan) -> list[object]:
    labelled = plan.split is not Split.UNLABELLED
    return [
        plan.name,
        plan.emotion if labelled else "",
        f"{plan.valence:.2f}" if labelled else "",
        f"speaker_{plan.speaker:02d}",
        plan.transcript,
        plan.split.value,
    ]


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())
