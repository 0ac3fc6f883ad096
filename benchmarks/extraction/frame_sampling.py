"""What sampling frames costs in visual score: the demo corpus, faces described by oriented gradients, speakers held out.

    python -m benchmarks.extraction.frame_sampling [--quick] [--json PATH]

The same simple features (histograms of oriented gradients, averaged over the frames) and the same logistic regression at 1 to
32 frames a clip and at every frame. JSON keys: accuracy_<frames>, accuracy_all, seconds_per_clip_<frames>, seconds_per_clip_all.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.command import Figure, parser, write_figures

COUNTS = (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Run the benchmark."""
    chosen = parser(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory(prefix="mer-frames-") as folder:
        figures = measured(Path(folder), clips=60 if chosen.quick else 360)
    for name, value in figures.items():
        print(f"{name:<24} {value:.4f}" if isinstance(value, float) else f"{name:<24} {value}")
    write_figures(chosen.json, figures)


def measured(folder: Path, clips: int) -> dict[str, Figure]:
    """Accuracy and seconds at every number of frames."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from mer.corpora import recognise
    from mer.demo import DemoConfig, generate_demo
    from mer.emotions import MER_EMOTIONS
    from mer.media.frames import sample_frames

    config = DemoConfig(clips=clips, unlabelled_share=0.0, test_share=0.0, broken=0, seed=8)
    entries = recognise(generate_demo(folder / "corpus", config), emotions=MER_EMOTIONS).entries
    truth = np.array([MER_EMOTIONS.index(entry.emotion or "") for entry in entries])
    speakers = [entry.speaker for entry in entries]
    figures: dict[str, Figure] = {"clips": clips, "chance": float(np.bincount(truth).max() / truth.size)}
    for count in (*COUNTS, None):
        started = time.perf_counter()
        features = np.stack(
            [gradients(sample_frames(entry.media, count or every_frame(entry.media))) for entry in entries]
        )
        seconds = (time.perf_counter() - started) / len(entries)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.005, max_iter=3000))
        predicted = cross_val_predict(model, features, truth, groups=speakers, cv=GroupKFold(5))
        name = str(count or "all")
        figures[f"accuracy_{name}"] = float((predicted == truth).mean())
        figures[f"seconds_per_clip_{name}"] = seconds
    return figures


def every_frame(path: Path) -> int:
    """Number of frames of a clip of the demo corpus."""
    from mer.demo import DemoConfig
    from mer.media.probe import probe

    return max(1, round(probe(path).duration_seconds * DemoConfig().frames_per_second))


def gradients(frames: Any) -> Any:
    """Histograms of oriented gradients, averaged over uint8 (frames, height, width, 3)."""
    import cv2
    import numpy as np

    describe = cv2.HOGDescriptor((64, 64), (16, 16), (16, 16), (8, 8), 9)
    small = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (64, 64)) for frame in frames]
    return np.mean([np.ravel(describe.compute(picture)) for picture in small], axis=0)


if __name__ == "__main__":
    main()
