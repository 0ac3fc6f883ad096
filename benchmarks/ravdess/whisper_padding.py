"""Whisper's hidden states with and without padding to 30 seconds, by layer, on RAVDESS.

    python -m benchmarks.ravdess.whisper_padding --encoder PATH [--corpus PATH] [--clips N] [--quick] [--json PATH]

Whisper was trained on 30 seconds of log-mel frames, whatever the clip. `padded` reads clips so, and leaves out the frames after
the sound; `alone` is what the product does: the clip's own frames, positions cut (`mer.encoders.whisper`). Both are trimmed,
scaled to one peak and pooled to mean and standard deviation. Of every published fold the training clips alone are read, in inner
folds of whole speakers (logistic regression, one penalty): the test clips of the published folds are not scored. MEASURED:
accuracy by layer, mean over the five training parts, and processor seconds a clip of one thread, decoding left out.

--clips N: so many of the 360 of the first sentence, first repetition (every actor, emotion and intensity; all by default);
`--quick`: 96 of them and two inner folds. 0: all 1,440, and `alone` only (padded they take half an hour).

JSON keys: alone_layer<l>, padded_layer<l> (accuracy), difference_layer<l> with _low and _high (alone - padded, 95 %, speakers
resampled), alone_seconds, padded_seconds (processor, a clip), ratio_seconds, clips, encoder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from mer.clips import CorpusEntry
    from mer.encoders.weights import ResolvedWeights
    from mer.encoders.whisper import LayeredWhisper

ALONE, PADDED = "alone", "padded"
SECONDS = 30
PENALTY, STEPS = 0.1, 300


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, default=Path("../shared/data/ravdess"), help="RAVDESS")
    options.add_argument("--encoder", required=True, help="folder or hub revision of a Whisper encoder")
    options.add_argument("--clips", type=int, default=360, help="clips read; 0: all, without padding only")
    chosen = options.parse_args()
    figures = measured(
        chosen.corpus, chosen.encoder, 96 if chosen.quick else chosen.clips, 2 if chosen.quick else 5
    )
    for name in sorted(figures):
        print(f"{name:28} {figures[name]}")
    write_figures(chosen.json, figures)


def measured(root: Path, encoder: str, clips: int, inner: int) -> dict[str, Figure]:
    """All figures.

    Args:
        root: of the corpus.
        encoder: source of the weights.
        clips: how many are read; 0: all, without padding.
        inner: folds inside each training part.
    """
    import numpy as np
    import torch

    from mer.corpora.recognise import recognise
    from mer.emotions import RAVDESS_EMOTIONS
    from mer.encoders import resolve_weights

    torch.set_num_threads(1)
    entries = [entry for entry in recognise(root, emotions=RAVDESS_EMOTIONS).entries if entry.emotion]
    entries = _chosen(entries, clips) if clips else entries
    resolved = resolve_weights(encoder, Path.home() / ".cache" / "mer" / "weights")
    labels = np.array([RAVDESS_EMOTIONS.index(str(entry.emotion)) for entry in entries], dtype=np.int64)
    folds = np.array([entry.fold for entry in entries], dtype=np.int64)
    speakers = [str(entry.speaker) for entry in entries]
    figures: dict[str, Figure] = {"clips": len(entries), "encoder": resolved.identity}
    right: dict[str, NDArray[np.float64]] = {}
    spent: dict[str, float] = {}
    for reading in (ALONE, PADDED) if clips else (ALONE,):
        features, spent[reading] = _features(entries, _encoder(resolved, reading), reading)
        right[reading] = _right(features, labels, folds, speakers, inner)
        figures |= {
            f"{reading}_layer{index}": round(float(one.mean()), 4) for index, one in enumerate(right[reading])
        }
        figures[f"{reading}_seconds"] = round(spent[reading], 4)
    if PADDED in right:
        figures["ratio_seconds"] = round(spent[PADDED] / spent[ALONE], 2)
        for index, (alone, padded) in enumerate(zip(right[ALONE], right[PADDED], strict=True)):
            low, high = _interval(alone - padded, speakers)
            figures |= {
                f"difference_layer{index}": round(float((alone - padded).mean()), 4),
                f"difference_layer{index}_low": round(low, 4),
                f"difference_layer{index}_high": round(high, 4),
            }
    return figures


def _chosen(entries: Sequence[CorpusEntry], clips: int) -> list[CorpusEntry]:
    """Clips of the first sentence's first repetition, a draw of them."""
    # name: modality-channel-emotion-intensity-statement-repetition-actor
    first = [entry for entry in entries if entry.name.split("-")[4:6] == ["01", "01"]]
    return sorted(Random(1).sample(first, min(clips, len(first))), key=lambda entry: entry.name)


def _encoder(resolved: ResolvedWeights, reading: str) -> LayeredWhisper:
    import torch

    from mer.encoders.whisper import LayeredWhisper, load_whisper

    class Padded(LayeredWhisper):
        """As Whisper was trained: silence up to 30 seconds, attended to as all else is."""

        def entered(self, waveform: Tensor) -> Tensor:
            silence = torch.zeros(SECONDS * 16_000 - waveform.numel())
            return super().entered(torch.cat([waveform, silence]))

    loaded = load_whisper(resolved)
    return loaded if reading == ALONE else Padded(loaded.module, loaded._extractor, loaded.placement)


def _features(
    entries: Sequence[CorpusEntry], encoder: LayeredWhisper, reading: str
) -> tuple[NDArray[np.float32], float]:
    """(clips, states, 2 * width) mean and standard deviation, and processor seconds a clip of the encoder."""
    import numpy as np
    import torch

    from mer.features.clip_media import prepare_sound
    from mer.features.spec import AudioPreparation
    from mer.media.audio import decode_audio

    rows, spent = [], 0.0
    for number, entry in enumerate(entries, start=1):
        sound = torch.from_numpy(prepare_sound(decode_audio(entry.media), AudioPreparation()))
        started = time.process_time()
        states = encoder.states(sound, range(encoder.layer_count + 1))
        spent += time.process_time() - started
        frames = torch.stack(states)[:, : encoder.frame_count(sound.numel())]
        rows.append(torch.cat([frames.mean(dim=1), frames.std(dim=1, correction=0)], dim=-1).numpy())
        if number % 60 == 0:
            print(f"{reading}: {number} of {len(entries)} clips", flush=True)
    return np.stack(rows), spent / len(entries)


def _right(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    speakers: Sequence[str],
    inner: int,
) -> NDArray[np.float64]:
    """(states, clips) share of the training parts that hold a clip in which its inner fold's regression named it rightly."""
    import numpy as np
    import torch

    from mer.layer_study.probes import ProbeTraining, train_stacked_probes
    from mer.training.folds import assign_folds

    named = np.zeros((features.shape[1], len(labels)))
    asked = np.zeros(len(labels))
    for outer in sorted(set(folds.tolist())):
        rows = np.flatnonzero(folds != outer)
        who, names = [speakers[row] for row in rows.tolist()], [str(row) for row in rows]
        own = assign_folds(who, names, labels[rows], inner, seed=1)
        train = np.stack([own != fold for fold in range(inner)])
        probes = train_stacked_probes(
            torch.from_numpy(np.ascontiguousarray(features[rows].transpose(1, 0, 2))),
            torch.from_numpy(labels[rows]),
            torch.from_numpy(train),
            int(labels.max()) + 1,
            ProbeTraining(PENALTY, STEPS, 3e-3),
        )
        predicted = probes.logits.argmax(dim=-1).numpy()  # (states, inner folds, clips)
        held_out = predicted[
            :, own, np.arange(len(rows))
        ]  # of each clip, by the run that did not learn from it
        named[:, rows] += held_out == labels[rows]
        asked[rows] += 1
    result: NDArray[np.float64] = named / asked
    return result


def _interval(differences: NDArray[np.float64], speakers: Sequence[str]) -> tuple[float, float]:
    """95 % of the mean difference (clips,), whole speakers resampled."""
    import numpy as np

    groups = np.unique(np.array(speakers), return_inverse=True)[1]
    sums, counts = np.bincount(groups, differences), np.bincount(groups)
    draws = np.random.default_rng(1).integers(0, len(counts), (2000, len(counts)))
    low, high = np.quantile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
