"""Decoding beside the forward pass: wall time, and the share of it that the encoder waits for clips.

    python -m benchmarks.extraction.overlap [--quick] [--clips 96] [--only WORK ...] [--json PATH]

The same clips in one run, the ways in turn, medians of the repetitions:

- in_turn: a round of clips is decoded, then encoded;
- one_thread: one thread decodes up to two rounds ahead (what 0.6 did);
- ahead: as the product does it (`mer.features.decoding_ahead`), as many threads as cores are left.

On this processor (rounds of one clip): speech by Moonshine-tiny of recordings; faces that the Haar cascade looks for in films.
As on a GPU (rounds of 64): the same decoding, and in place of the forward pass a device that is busy for `--device-ms` for each
clip and needs no core of this machine: with it decoding and encoding do not take cores from each other.

JSON keys, of `speech`, `faces`, `device_speech`, `device_faces` with a way: <work>_<way>_seconds, _waited_share; and of each work
_ahead_ratio (wall, ahead / in turn), _one_thread_ratio, _decoding_ms (of a clip, one after another); equal_bytes.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.command import Figure, parser, write_figures

if TYPE_CHECKING:
    from mer.clips import Clip
    from mer.features.decoding_ahead import Bounds
    from mer.features.multi import MultiExtractor

WORKS = ("speech", "device_speech", "faces", "device_faces")
WAYS = ("in_turn", "one_thread", "ahead")


def main(arguments: Sequence[str] | None = None) -> dict[str, Figure]:
    """Run the benchmark; returns its figures."""
    import torch

    options = parser(__doc__ or "")
    options.add_argument("--clips", type=int, help="of each work; left out: 96; quick: 12")
    options.add_argument(
        "--device-ms", type=float, default=4.0, help="of the pretended device, for each clip"
    )
    options.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), help="some of the works")
    chosen = options.parse_args(arguments)
    torch.set_num_threads(1)
    count = chosen.clips or (12 if chosen.quick else 96)
    figures: dict[str, Figure] = {"clips": count, "cores": os.cpu_count() or 1, "device_ms": chosen.device_ms}
    equal = True
    with tempfile.TemporaryDirectory(prefix="mer-overlap-") as temporary:
        folder = Path(temporary)
        for work, clips, specs in works(folder, count):
            for device in (0.0, chosen.device_ms / 1000):
                name = f"device_{work}" if device else work
                if name not in chosen.only:
                    continue
                extractor = extractor_of(specs, folder, device)
                found, same = compared(extractor, clips, 1 if chosen.quick else 3)
                figures |= {f"{name}_{key}": value for key, value in found.items()}
                equal = equal and same
    figures["equal_bytes"] = int(equal)
    for name, value in figures.items():
        print(f"{name:<36} {value:.4g}" if isinstance(value, float) else f"{name:<36} {value}")
    write_figures(chosen.json, figures)
    return figures


def works(folder: Path, count: int) -> list[tuple[str, list[Clip], list[Any]]]:
    """What is extracted: (name, clips, specs). A few files each, read again and again."""
    import cv2
    import numpy as np
    import soundfile

    from mer.clips import Clip
    from mer.demo.clip_file import write_clip
    from mer.features.spec import FeatureSpec, FramePreparation

    generator = np.random.default_rng(0)
    files: dict[str, list[Path]] = {"speech": [], "faces": []}
    for number in range(4):
        sound = folder / f"sound{number}.wav"
        samples = generator.standard_normal(16_000 * (2 + number)) * 0.1
        soundfile.write(sound, samples.astype(np.float32), 16_000)
        film = folder / f"film{number}.mp4"
        picture = cv2.resize(generator.integers(0, 255, (6, 8, 3), dtype=np.uint8), (320, 240))
        frames = np.stack([np.roll(picture, 3 * frame, axis=1) for frame in range(50)])
        write_clip(film, frames, 25, None, 16_000)
        files["speech"].append(sound)
        files["faces"].append(film)
    specs = {
        "speech": FeatureSpec(modality="acoustic", source="wheel:moonshine-tiny", pooling="mean"),
        "faces": FeatureSpec(
            modality="visual", source="crops:", frames=FramePreparation(frames=8, size=112, detector="haar")
        ),
    }
    return [
        (
            work,
            [
                Clip(content=str(n), name=str(n), path=files[work][n % 4], corpus_root=folder)
                for n in range(count)
            ],
            [specs[work]],
        )
        for work in files
    ]


def extractor_of(specs: Sequence[Any], folder: Path, device_seconds: float) -> MultiExtractor:
    """The extractor on this processor, or with a device in the place of its forward pass."""
    from mer.encoders.placement import Placement
    from mer.features.extract import build_extractors

    extractor = build_extractors(specs, folder / "weights", device="cpu")
    if device_seconds:
        extractor.placements = [Placement("cuda:0")] * len(extractor.placements)
        for reader in extractor.readers:
            reader.finish = busy(reader.absent, device_seconds)  # type: ignore[method-assign]
    return extractor


def busy(absent: Callable[[], Any], seconds: float) -> Any:
    """A forward pass that takes so long for each clip, and no core."""

    def finish(prepared: Sequence[Any]) -> list[Any]:
        time.sleep(seconds * len(prepared))
        return [absent() for _ in prepared]

    return finish


def compared(
    extractor: MultiExtractor, clips: Sequence[Clip], repetitions: int
) -> tuple[dict[str, Figure], bool]:
    """Figures of every way, and whether all gave the same bytes."""
    from mer.features.decoding_ahead import Bounds
    from mer.features.multi import CPU_AHEAD, GPU_AHEAD, GPU_CLIPS

    size, rounds = (GPU_CLIPS, GPU_AHEAD) if extractor.placements[0].on_gpu else (1, CPU_AHEAD)
    bounds: dict[str, Bounds | None] = {
        "in_turn": Bounds(0, 1),
        "one_thread": Bounds(2 * size, 1),
        "ahead": None,
    }
    assert tuple(bounds) == WAYS and rounds >= 2
    walls: dict[str, list[float]] = {way: [] for way in WAYS}
    waits: dict[str, list[float]] = {way: [] for way in WAYS}
    found: dict[str, list[Any]] = {}
    once(extractor, clips[: 2 * size], None)  # starts decoders, loads what is loaded once
    for _ in range(repetitions):
        for way in WAYS:
            began = time.perf_counter()
            found[way], waited = once(extractor, clips, bounds[way])
            walls[way].append(time.perf_counter() - began)
            waits[way].append(waited / walls[way][-1])
    figures: dict[str, Figure] = {}
    for way in WAYS:
        figures[f"{way}_seconds"], figures[f"{way}_waited_share"] = median(walls[way]), median(waits[way])
    for way in WAYS[1:]:
        ratios = [one / other for one, other in zip(walls[way], walls["in_turn"], strict=True)]
        figures[f"{way}_ratio"] = median(ratios)
    figures["decoding_ms"] = (
        1000
        * median(share * wall for share, wall in zip(waits["in_turn"], walls["in_turn"], strict=True))
        / len(clips)
    )
    return figures, all(same(found["in_turn"], found[way]) for way in WAYS)


def once(extractor: MultiExtractor, clips: Sequence[Clip], bounds: Bounds | None) -> tuple[list[Any], float]:
    """Features of all clips, and the seconds that were waited for them."""
    with extractor.decoding(clips, bounds) as ahead:
        rows = list(extractor.extract_decoded(clips, ahead))
    return rows, ahead.waited_seconds


def same(rows: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether all features are equal bit by bit."""
    pairs = [pair for row, other in zip(rows, others, strict=True) for pair in zip(row, other, strict=True)]
    return all(one.flags == two.flags and one.values.tobytes() == two.values.tobytes() for one, two in pairs)


if __name__ == "__main__":
    main()
