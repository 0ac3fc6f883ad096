"""RAVDESS as streams of frozen features: every layer of a speech encoder at several speeds, action units, loudness and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mer.clips import Clip, CorpusEntry
from mer.ensemble.varied import PLAIN, VariedStream
from mer.examples import Examples
from mer.features.spec import AudioPreparation, FeatureSpec

SPEEDS = {PLAIN: 1.0, "slow": 0.9, "fast": 1.1}
"""Variants of every recording, as in Ko et al. 2015."""
FACE, SOUND = "face", "sound"
ACTION_UNITS = "openface-au-UTT"

Floats = NDArray[np.float32]


def layer(index: int) -> str:
    """Name of the stream of a hidden state."""
    return f"layer{index}"


@dataclass(frozen=True)
class Corpus:
    """All clips; row i is clip i everywhere."""

    examples: Examples
    classes: tuple[str, ...]
    streams: Mapping[str, VariedStream]
    clips: tuple[Clip, ...] = ()
    """As read; of all classes."""

    def without(self, classes: Sequence[str]) -> Corpus:
        """The clips of the other classes."""
        kept = tuple(name for name in self.classes if name not in classes)
        place = np.array([kept.index(name) if name in kept else -1 for name in self.classes])
        emotion = place[self.examples.emotion]
        rows = np.flatnonzero(emotion >= 0)
        return Corpus(
            replace(self.examples.subset(rows), emotion=emotion[rows]),
            kept,
            {
                name: VariedStream({v: own[rows] for v, own in stream.values.items()}, stream.present[rows])
                for name, stream in self.streams.items()
            },
        )

    def per_speaker(self) -> dict[str, VariedStream]:
        """The streams standardised per speaker and variant over all of that speaker's clips; no label is read."""
        places = np.unique(np.array(self.examples.speaker), return_inverse=True)[1]

        def standardised(values: Floats) -> Floats:
            result = np.empty_like(values)
            for speaker in range(int(places.max()) + 1):
                own = values[places == speaker]
                result[places == speaker] = (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-3)
            return result

        return {
            name: VariedStream({v: standardised(own) for v, own in stream.values.items()}, stream.present)
            for name, stream in self.streams.items()
        }


def load_corpus(
    root: Path,
    encoder: str,
    kept: Path,
    workers: int,
    *,
    quick: bool,
    features: bool = True,
    speeds: Mapping[str, float] = SPEEDS,
) -> Corpus:
    """Read labels and features; what is not in `kept` yet is extracted.

    Args:
        root: folder of the corpus.
        encoder: source of the speech encoder.
        kept: folder of extracted features, one file per feature set and clip list.
        workers: processes of one thread each.
        quick: 360 clips (one sentence, first repetition), and no slow variant.
        features: off: clips and labels alone.
        speeds: variants of every recording; the plain one must be among them.
    """
    from mer.corpora.recognise import recognise
    from mer.emotions import RAVDESS_EMOTIONS

    entries = [entry for entry in recognise(root, emotions=RAVDESS_EMOTIONS).entries if entry.emotion]
    if quick:  # name: modality-channel-emotion-intensity-statement-repetition-actor
        entries = [entry for entry in entries if entry.name.split("-")[4:6] == ["01", "01"]]
    examples, clips = _examples(entries, RAVDESS_EMOTIONS), tuple(_clips(entries, root))
    if not features:
        return Corpus(examples, RAVDESS_EMOTIONS, {}, clips)
    speeds = {name: speed for name, speed in speeds.items() if not (quick and name == "slow")}
    states = _speech(entries, root, encoder, kept, workers, list(speeds.values()))
    by_variant = dict(zip(speeds, states, strict=True))
    present = np.ones(len(entries), dtype=bool)
    streams = {
        layer(index): VariedStream({v: own[:, index] for v, own in by_variant.items()}, present)
        for index in range(states[0].shape[1])
    }
    face = [np.load(root / "features" / ACTION_UNITS / f"{entry.name}.npy").reshape(-1) for entry in entries]
    streams[FACE] = VariedStream({PLAIN: np.stack(face).astype(np.float32)}, present)
    plain = np.stack([loudness_and_length(entry.media) for entry in entries])
    streams[SOUND] = VariedStream(
        {v: plain - np.array([0, np.log(speed)], np.float32) for v, speed in speeds.items()}, present
    )
    return Corpus(examples, RAVDESS_EMOTIONS, streams, clips)


def loudness_and_length(path: Path) -> Floats:
    """(2,) what `sound:` gives of a recording without the silence at its ends, see `mer.features.loudness`."""
    from mer.features import loudness
    from mer.media.audio import SPEECH_RATE, decode_audio, trim_silence

    return loudness.loudness_and_length(trim_silence(decode_audio(path), SPEECH_RATE))


def _examples(entries: Sequence[CorpusEntry], classes: Sequence[str]) -> Examples:
    count = len(entries)
    return Examples(
        clip_ids=tuple(entry.name for entry in entries),
        emotion=np.array([classes.index(str(entry.emotion)) for entry in entries], dtype=np.int64),
        valence=np.full(count, np.nan, dtype=np.float32),
        speaker=tuple(entry.speaker for entry in entries),
        fold=np.array([-1 if entry.fold is None else entry.fold for entry in entries], dtype=np.int64),
        weight=np.ones(count, dtype=np.float32),
    )


def _clips(entries: Sequence[CorpusEntry], root: Path) -> list[Clip]:
    return [
        Clip(content=entry.name, name=entry.name, path=entry.media, corpus_root=root) for entry in entries
    ]


def _speech(
    entries: Sequence[CorpusEntry],
    root: Path,
    encoder: str,
    kept: Path,
    workers: int,
    speeds: Sequence[float],
) -> list[Floats]:
    """(N, layers, 2 * width) for each speed, out of `kept` where they lie there."""
    from mer.encoders.weights import resolve_weights

    identity = resolve_weights(encoder, kept / "weights").identity
    specs = [
        FeatureSpec(modality="acoustic", source=encoder, audio=AudioPreparation(speed=speed))
        for speed in speeds
    ]
    paths = [kept / f"{spec.key(identity)[:16]}-{len(entries)}.npy" for spec in specs]
    if missing := [place for place, path in enumerate(paths) if not path.is_file()]:
        clips = _clips(entries, root)
        runs = [clips[start : start + 60] for start in range(0, len(clips), 60)]
        wanted = [specs[place] for place in missing]
        parts = []
        with ProcessPoolExecutor(max_workers=workers, mp_context=get_context("spawn")) as pool:
            for part in pool.map(partial(_extracted, wanted, kept / "weights"), runs):
                parts.append(part)
                print(
                    f"speech features: {min(60 * len(parts), len(clips))} of {len(clips)} clips", flush=True
                )
        for number, place in enumerate(missing):
            unfinished = paths[place].with_suffix(".tmp.npy")
            np.save(unfinished, np.concatenate([part[number] for part in parts]))
            unfinished.replace(paths[place])
    return [np.load(path) for path in paths]


def _extracted(specs: Sequence[FeatureSpec], weights: Path, clips: Sequence[Clip]) -> list[Floats]:
    """Features of these clips, one array a spec; runs in a process of its own."""
    import torch

    from mer.features.extract import build_extractors, extract_clips_of_each

    torch.set_num_threads(1)
    each = extract_clips_of_each(build_extractors(specs, weights, device="cpu"), clips)
    return [np.concatenate([one.values for one in features]) for features in each]
