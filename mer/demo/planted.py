"""Batches that are planted into a demo corpus: clips like the others, over another channel, of one class, or wrongly labelled.

The demo has ten voices, so a batch's speakers have the voices of the corpus under names of their own. Whoever compares speakers
takes them for new ones.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.demo.clip_file import write_clip
from mer.demo.config import DemoConfig
from mer.demo.corpus import render_clip
from mer.demo.plan import ClipPlan, plan_corpus
from mer.demo.transcripts import compose
from mer.emotions import MER_EMOTIONS
from mer.whole_files import write_whole

TABLE = "labels.csv"


@dataclass(frozen=True)
class Channel:
    """How clips are recorded."""

    highest_hertz: float = 3400.0
    """Of the sound; a telephone's."""
    lowest_hertz: float = 300.0
    noise_db: float = 12.0
    """Speech over white noise."""
    level_db: float = -12.0
    """Of the sound after that."""
    light: float = 0.45
    """What the picture's brightness is multiplied by."""


TELEPHONE = Channel()


@dataclass(frozen=True)
class Batch:
    """What is planted."""

    tag: str
    """Begins the names of its clips and speakers."""
    clips: int
    seed: int
    channel: Channel | None = None
    """None: as the corpus."""
    labelled: bool = False
    wrong_labels: bool = False
    """Each label is another class than the true one, drawn at random."""
    only: str | None = None
    """A class that all clips are of; None: as in the corpus."""


def add_batch(root: Path, batch: Batch, size: int = 160) -> list[str]:
    """Render a batch into the corpus at `root` and add its rows to the table; returns the clips' names.

    Args:
        root: a demo corpus.
        batch: what is planted.
        size: side of the pictures.
    """
    config = DemoConfig(
        seed=batch.seed, clips=batch.clips, unlabelled_share=0, test_share=0, broken=0, picture_size=size
    )
    generator = np.random.default_rng([batch.seed, 9])
    rows = []
    for plan in plan_corpus(config):
        settled = _settled(plan, batch)
        frames, waveform, rate = render_clip(settled, config)
        if batch.channel is not None:
            frames, waveform = _through(batch.channel, frames, waveform, rate, generator)
        _write(root / "video" / f"{settled.name}.mp4", frames, waveform, rate, config.frames_per_second)
        rows.append(_row(settled, batch, generator))
    _append(root / TABLE, rows)
    return [row["name"] for row in rows]


def _settled(plan: ClipPlan, batch: Batch) -> ClipPlan:
    named = replace(plan, name=f"{batch.tag}_{plan.number:03d}")
    if batch.only is None:
        return named
    said = compose(batch.only, np.random.default_rng([batch.seed, 8, plan.number]))
    return replace(
        named,
        emotion=batch.only,
        voice_shows=batch.only,
        face_shows=batch.only,
        text_shows=batch.only,
        transcript=said,
    )


def _row(plan: ClipPlan, batch: Batch, generator: np.random.Generator) -> dict[str, str]:
    others = [name for name in MER_EMOTIONS if name != plan.emotion]
    wrong = str(generator.choice(others))
    label = wrong if batch.wrong_labels else plan.emotion
    return {
        "name": plan.name,
        "emotion": label if batch.labelled else "",
        "valence": "",
        "speaker": f"{batch.tag}_speaker_{plan.speaker:02d}",
        "transcript": plan.transcript,
        "split": "train" if batch.labelled else "unlabelled",
    }


def _through(
    channel: Channel,
    frames: NDArray[np.uint8],
    waveform: NDArray[np.float32],
    rate: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A clip as the channel leaves it."""
    spectrum = np.fft.rfft(waveform)
    hertz = np.fft.rfftfreq(waveform.size, 1 / rate)
    spectrum[(hertz < channel.lowest_hertz) | (hertz > channel.highest_hertz)] = 0
    sound = np.fft.irfft(spectrum, waveform.size)
    level = float(np.sqrt(np.mean(np.square(sound)))) or 1.0
    sound = sound + generator.normal(0, level * 10 ** (-channel.noise_db / 20), waveform.size)
    sound *= 10 ** (channel.level_db / 20)
    dark = (frames * channel.light).astype(np.uint8)
    return dark, np.clip(sound, -1, 1).astype(np.float32)


def _write(
    path: Path, frames: NDArray[np.uint8], waveform: NDArray[np.float32], rate: int, frames_per_second: int
) -> None:
    write_whole(path, lambda temporary: write_clip(temporary, frames, frames_per_second, waveform, rate))


def _append(table: Path, rows: list[dict[str, str]]) -> None:
    known = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows([*known, *rows])
    write_whole(table, text.getvalue().encode())
