"""Feature extraction against the toolkits' way, side by side in one run; and what new clips cost in a large catalogue.

    python -m benchmarks.extraction [--quick] [--threads 1] [--json PATH]

Encoders have their real size and random weights (speed does not depend on values): HuBERT-base, CLIP ViT-B/32; clips are made.

- audio: UTT and FRA of four layer sets. The toolkits' scripts run once for each (8 passes); `audio_cpu_ratio_two_passes` is
  against a kinder loop that takes all layer sets out of one pass for UTT and one for FRA.
- visual: UTT and FRA of one encoder; the toolkits encode every frame, we sample 8. `visual_frame_cpu_ratio` is per frame encoded,
  `_int8` with the encoder's linear layers in 8 bits (precision `int8`; ours otherwise: `auto`, bf16 where the processor has it).
- end to end: from file to committed shard, speech by Moonshine-tiny; then the same catalogue with 10 new clips.

JSON keys: precision (of ours), audio_cpu_ratio, audio_cpu_ratio_two_passes, visual_clip_cpu_ratio, visual_frame_cpu_ratio,
visual_frame_cpu_ratio_int8 (ours / theirs, below 1 is
better), audio_cpu_seconds_per_second, visual_cpu_seconds_per_frame, peak_memory_ratio, and for the largest corpus
incremental_ratio (10 new clips among it / 10 alone), clips_per_second, dataset_clips_per_second, catalogue_rows_per_second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.command import Figure, parser, write_figures
from benchmarks.measuring import Cost, compare, peak_memory_bytes

LAYER_SETS = ((-4, -3, -2, -1), (6, 7, 8, 9), (12,), tuple(range(13)))
SECONDS = (2.0, 3.0, 4.0, 5.0, 7.0)
FRAMES_PER_SECOND, VIDEO_SECONDS, SAMPLED = 25, 4, 8


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--threads", type=int, default=1, help="of torch; 0: all cores")
    options.add_argument("--memory-of", choices=["ours", "toolkit"], help=argument_of_the_child())
    options.add_argument("--folder", type=Path, help=argument_of_the_child())
    chosen = options.parse_args()
    set_threads(chosen.threads)
    if chosen.memory_of:
        audio_work(chosen.folder, clips_in(chosen.folder))[chosen.memory_of]()
        print(peak_memory_bytes())
        return
    with tempfile.TemporaryDirectory(prefix="mer-extraction-") as folder:
        figures = measured(Path(folder), quick=chosen.quick, threads=chosen.threads)
    show(figures)
    write_figures(chosen.json, figures)


def argument_of_the_child() -> str:
    """Help of options that only the benchmark itself uses."""
    return "(used by the benchmark for its child processes)"


def set_threads(threads: int) -> None:
    """Let torch and OpenCV use so many threads."""
    import os

    import cv2
    import torch

    count = threads or os.cpu_count() or 1
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def measured(folder: Path, *, quick: bool, threads: int) -> dict[str, Figure]:
    """All figures."""
    from mer.encoders.placement import settled_precision

    repetitions = 1 if quick else 3
    make_inputs(folder)
    clips = clips_in(folder)[: 2 if quick else None]
    audio = compare(audio_work(folder, clips), repetitions)
    seconds = sum(SECONDS[: len(clips)])
    films = [folder / "video" / "film.mp4"]
    visual = compare(visual_work(folder, films), repetitions)
    memory = {side: memory_of(side, folder, threads) for side in ("ours", "toolkit")}
    every_frame = FRAMES_PER_SECOND * VIDEO_SECONDS
    per_frame = {
        "ours": visual["ours"].cpu / SAMPLED,
        "ours_int8": visual["ours_int8"].cpu / SAMPLED,
        "toolkit": visual["toolkit_one_pass"].cpu / every_frame,
    }
    return {
        "threads": threads,
        "precision": settled_precision("auto", "cpu"),
        "audio_cpu_ratio": ratio(audio, "ours", "toolkit"),
        "audio_cpu_ratio_two_passes": ratio(audio, "ours", "toolkit_two_passes"),
        "audio_cpu_seconds_per_second": audio["ours"].cpu / seconds,
        "audio_wall_ratio": audio["ours"].wall / audio["toolkit"].wall,
        "visual_clip_cpu_ratio": ratio(visual, "ours", "toolkit"),
        "visual_frame_cpu_ratio": per_frame["ours"] / per_frame["toolkit"],
        "visual_frame_cpu_ratio_int8": per_frame["ours_int8"] / per_frame["toolkit"],
        "visual_cpu_seconds_per_frame": per_frame["ours"],
        "peak_memory_ratio": memory["ours"] / memory["toolkit"],
        "peak_memory_mib": memory["ours"] / 2**20,
        **growth(folder / "growth", (100,) if quick else (100, 1_000, 10_000)),
    }


def ratio(costs: Mapping[str, Cost], ours: str, theirs: str) -> float:
    """Processor seconds of one piece of work over another's."""
    return costs[ours].cpu / costs[theirs].cpu


def make_inputs(folder: Path) -> None:
    """Encoders of the real size, and clips: noise that is loud and soft in turn, a moving picture."""
    import numpy as np
    import soundfile
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        HubertConfig,
        HubertModel,
        Wav2Vec2FeatureExtractor,
    )

    from mer.demo.clip_file import write_clip

    HubertModel(HubertConfig(layerdrop=0.0)).save_pretrained(folder / "hubert")
    Wav2Vec2FeatureExtractor().save_pretrained(folder / "hubert")
    CLIPModel(CLIPConfig()).save_pretrained(folder / "clip")
    CLIPImageProcessor().save_pretrained(folder / "clip")
    generator = np.random.default_rng(0)
    (folder / "audio").mkdir()
    (folder / "video").mkdir()
    for number, seconds in enumerate(SECONDS):
        time = np.arange(int(seconds * 16_000)) / 16_000
        sound = generator.normal(0, 0.1, time.size) * (1.2 + np.sin(2 * np.pi * 3 * time))
        soundfile.write(folder / "audio" / f"clip{number}.wav", sound.astype(np.float32), 16_000)
    picture = generator.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    film = np.stack(
        [np.roll(picture, 3 * frame, axis=1) for frame in range(FRAMES_PER_SECOND * VIDEO_SECONDS)]
    )
    write_clip(folder / "video" / "film.mp4", film, FRAMES_PER_SECOND, None, 16_000)


def clips_in(folder: Path) -> list[Path]:
    """The speech clips."""
    return sorted((folder / "audio").glob("*.wav"))


def audio_work(folder: Path, clips: Sequence[Path]) -> dict[str, Any]:
    """The same features by us, by the toolkits' scripts, and by a kinder loop."""
    from mer.features.extract import build_extractors, extract_clips_of_each
    from mer.features.spec import AudioPreparation, FeatureSpec

    as_they_are = AudioPreparation(trim_silence=False, peak_normalise=False)
    specs = [
        FeatureSpec(
            modality="acoustic", source=str(folder / "hubert"), layers=layers, reduce_layers="sum",
            pooling=pooling, audio=as_they_are, precision="auto",
        )
        for layers in LAYER_SETS
        for pooling in ("mean", "frames")
    ]  # fmt: skip
    loaded: list[Any] = []

    def ours() -> None:
        loaded[:] = loaded or [build_extractors(specs, folder / "weights", device="cpu")]
        extract_clips_of_each(loaded[0], listed(clips, folder))

    def toolkit(layer_sets: Sequence[Sequence[int]] = LAYER_SETS) -> None:
        model, processor = load_toolkit_hubert(folder)
        from benchmarks.extraction.toolkit_loop import extract_audio

        for layers in layer_sets:
            for level in ("UTT", "FRA"):
                extract_audio(model, processor, clips, layers, level, folder)

    return {"ours": ours, "toolkit": toolkit, "toolkit_two_passes": lambda: toolkit(LAYER_SETS[:1])}


def visual_work(folder: Path, films: Sequence[Path]) -> dict[str, Any]:
    """The same for pictures; `toolkit_one_pass` is one of its two runs, for the cost of a frame, `ours_int8` ours in 8 bits."""
    from mer.encoders.placement import Precision
    from mer.features.extract import build_extractors, extract_clips_of_each
    from mer.features.spec import FeatureSpec, FramePreparation

    loaded: dict[Precision, Any] = {}

    def ours(precision: Precision = "auto") -> None:
        if precision not in loaded:
            specs = [
                FeatureSpec(
                    modality="visual", source=str(folder / "clip"), pooling=pooling, precision=precision,
                    frames=FramePreparation(frames=SAMPLED, size=224),
                )
                for pooling in ("mean", "frames")
            ]  # fmt: skip
            loaded[precision] = build_extractors(specs, folder / "weights", device="cpu")
        extract_clips_of_each(loaded[precision], listed(films, folder))

    def toolkit(levels: Sequence[str] = ("UTT", "FRA")) -> None:
        model, processor = load_toolkit_clip(folder)
        from benchmarks.extraction.toolkit_loop import extract_video

        for level in levels:
            extract_video(model, processor, films, level, folder)

    return {
        "ours": ours,
        "ours_int8": lambda: ours("int8"),
        "toolkit": toolkit,
        "toolkit_one_pass": lambda: toolkit(("FRA",)),
    }


_TOOLKIT: dict[str, tuple[Any, Any]] = {}


def load_toolkit_hubert(folder: Path) -> tuple[Any, Any]:
    """Model and processor as the scripts load them; once, loading is nobody's subject here."""
    if "hubert" not in _TOOLKIT:
        from transformers import AutoFeatureExtractor, AutoModel

        _TOOLKIT["hubert"] = (
            AutoModel.from_pretrained(folder / "hubert").eval(),
            AutoFeatureExtractor.from_pretrained(folder / "hubert"),
        )
    return _TOOLKIT["hubert"]


def load_toolkit_clip(folder: Path) -> tuple[Any, Any]:
    """The same for CLIP."""
    if "clip" not in _TOOLKIT:
        from transformers import AutoModel, CLIPImageProcessor

        _TOOLKIT["clip"] = (
            AutoModel.from_pretrained(folder / "clip").eval(),
            CLIPImageProcessor.from_pretrained(folder / "clip"),
        )
    return _TOOLKIT["clip"]


def listed(paths: Sequence[Path], root: Path) -> list[Any]:
    """Files as clips."""
    from mer.clips import Clip

    return [Clip(content=p.stem, name=p.stem, path=p, corpus_root=root, transcript=None) for p in paths]


def memory_of(side: str, folder: Path, threads: int) -> float:
    """Peak memory of one side's audio work in a process of its own, bytes; median of three."""
    return median(peak_of_a_child(side, folder, threads) for _ in range(3))


def peak_of_a_child(side: str, folder: Path, threads: int) -> int:
    """One process' peak, bytes."""
    command = [sys.executable, "-m", "benchmarks.extraction", "--memory-of", side, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--threads", str(threads)], capture_output=True, text=True, check=True, timeout=900
    )
    return int(done.stdout.strip().splitlines()[-1])


def growth(folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    """End to end at growing corpora; the figures of the largest keep the plain names."""
    from benchmarks.extraction.growing_corpus import grow

    figures: dict[str, float] = {}
    for size in sizes:
        found = grow(folder / str(size), size)
        figures |= {f"{name}_{size}": value for name, value in found.items()} | found
    return figures


def show(figures: Mapping[str, Figure]) -> None:
    """The table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title="feature extraction, ours / toolkits (below 1: we are cheaper)")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
