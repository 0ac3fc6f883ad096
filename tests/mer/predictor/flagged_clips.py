"""Clips as people have them that no model can be sure of, and a package that is asked about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from mer.clips import Clip
from mer.demo.clip_file import write_clip
from mer.demo.config import DemoConfig
from mer.demo.corpus import render_clip
from mer.demo.plan import ClipPlan, plan_corpus
from mer.domain.fit import fit_tables, inner_distances
from mer.domain.training_domain import TrainingDomain
from mer.examples import Examples
from mer.predictor.loaded import LoadedParts
from mer.predictor.package import DOMAIN_FOLDER, FUSION_FOLDER, ModelPackage, ServedStream
from mer.predictor.reading import BatchReading
from mer.recipes import Recipe
from mer.systems.kinds import FitData, fit_system

CONFIG = DemoConfig(clips=150, seed=5, broken=0)
EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
RATE = 16_000
VOICE = {
    "modality": "acoustic",
    "features": {"source": "wheel:moonshine-tiny", "layers": (3,), "pooling": "mean_std"},
}
FACE = {"modality": "visual", "features": {"source": "seed:clip-tiny", "frames": {"frames": 2, "size": 64}}}
SEEN_FACE = {
    "modality": "visual",
    "features": {"source": "seed:clip-tiny", "frames": {"frames": 2, "size": 64, "detector": "haar"}},
}


@dataclass(frozen=True)
class Rendered:
    """A demo clip as a file, and what is in it."""

    clip: Clip
    plan: ClipPlan
    frames: np.ndarray
    waveform: np.ndarray
    rate: int


def render(folder: Path) -> list[Rendered]:
    """All clips of a small demo corpus."""
    rendered = []
    for plan in plan_corpus(CONFIG):
        frames, waveform, rate = render_clip(plan, CONFIG)
        path = folder / f"{plan.name}.mp4"
        write_clip(path, frames, CONFIG.frames_per_second, waveform, rate)
        clip = Clip(name=plan.name, content=plan.name, path=path, corpus_root=folder)
        rendered.append(Rendered(clip, plan, frames, waveform, rate))
    return rendered


def package(folder: Path, streams: dict[str, object], train: list[Rendered]) -> Path:
    """A fusion of these streams, fitted on these clips, with the domain of its training set."""
    recipe = Recipe.model_validate({"name": "flagged", "emotions": EMOTIONS, "streams": streams})
    record = ModelPackage(
        recipe=recipe, streams={"voice": ServedStream(read_layer=0)}, system="fused", domain=DOMAIN_FOLDER
    )
    record.write(folder)
    clips = [one.clip for one in train]
    tables = BatchReading(LoadedParts(record, folder, folder / "weights"), clips).streams("utterance")
    emotion = np.array([EMOTIONS.index(one.plan.emotion) for one in train], dtype=np.int64)
    valence = np.array([one.plan.valence for one in train], dtype=np.float32)
    everyone, count = np.ones(len(train), dtype=bool), len(train)
    examples = Examples(
        next(iter(tables.values())).clip_ids, emotion, valence, (None,) * count, np.zeros(count, np.int64),
        np.ones(count, np.float32),
    )  # fmt: skip
    options = {"hidden": 16, "epochs": 60, "learning_rate": 0.01, "dropout": 0.0}
    data = FitData({"utterance": tables}, examples, everyone, ~everyone, EMOTIONS)
    fit_system("neural", data, options).save(folder / FUSION_FOLDER)
    groups = [str(one.plan.speaker) for one in train]
    shares = np.bincount(emotion, minlength=len(EMOTIONS)) / count
    held_out = inner_distances(tables, everyone, groups)
    domain = TrainingDomain(
        "utterance", fit_tables(tables, everyone, held_out), tuple(shares.tolist()), float(valence.mean())
    )
    domain.save(folder / DOMAIN_FOLDER)
    return folder


def made_clips(folder: Path, example: Rendered) -> dict[str, Clip]:
    """Clips that no model can be sure of, and two that it can."""
    generator = np.random.default_rng(3)
    seconds = np.arange(3 * RATE) / RATE
    waveform, frames, rate = example.waveform, example.frames, example.rate
    rise = np.minimum(1, np.arange(seconds.size) % (RATE // 4) / 400)
    scale = 2 ** (np.array([0, 4, 7, 12])[(np.arange(seconds.size) // (RATE // 4)) % 4] / 12)
    chord = np.sin(2 * np.pi * 220 * scale * seconds) + np.sin(2 * np.pi * 330 * scale * seconds)
    sounds = {
        "silence": np.zeros(2 * RATE),
        "hiss": 1e-4 * generator.normal(size=2 * RATE),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * seconds),
        "white_noise": 0.1 * generator.normal(size=seconds.size),
        "music": 0.2 * chord * rise,
        "one_millisecond": 0.3 * np.sin(2 * np.pi * 440 * seconds[:16]),
    }
    clips: dict[str, Clip] = {}

    def clip(name: str, suffix: str) -> Path:
        path = folder / f"{name}{suffix}"
        clips[name] = Clip(name=name, content=name, path=path, corpus_root=folder)
        return path

    for name, samples in sounds.items():
        soundfile.write(clip(name, ".wav"), samples.astype(np.float32), RATE)
    soundfile.write(clip("antiphase_noise", ".wav"), np.stack([sounds["tone"], -sounds["tone"]], 1), RATE)
    soundfile.write(clip("antiphase_speech", ".wav"), np.stack([waveform, -waveform], axis=1), rate)
    soundfile.write(clip("speech_alone", ".wav"), waveform, rate)
    per_second = CONFIG.frames_per_second
    scenery = generator.integers(0, 255, size=(1, 6, 8, 3)).repeat(len(frames), axis=0)
    scenery = scenery.repeat(frames.shape[1] // 6 + 1, axis=1).repeat(frames.shape[2] // 8 + 1, axis=2)
    scenery = scenery[:, : frames.shape[1], : frames.shape[2]].astype(np.uint8)
    pictures = {
        "black": np.zeros_like(frames), "one_colour": np.full_like(frames, 130), "no_face": scenery,
        "face_alone": frames,
    }  # fmt: skip
    for name, shown in pictures.items():
        write_clip(clip(name, ".mp4"), shown, per_second, None, rate)
    quiet = np.zeros_like(waveform)
    write_clip(clip("silent_sound_with_face", ".mp4"), frames, per_second, quiet, rate)
    write_clip(clip("black_with_speech", ".mp4"), np.zeros_like(frames), per_second, waveform, rate)
    write_clip(clip("black_and_silent", ".mp4"), np.zeros_like(frames), per_second, quiet, rate)
    return clips
