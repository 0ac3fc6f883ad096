"""Feature extraction the toolkits' way, as a yardstick: written after MERTools' scripts, kept as plain as they are.

fp32, one clip (or one frame) at a time, all hidden states stacked, a run of its own for every layer set and for each of UTT
and FRA, every frame of a video.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
import torch


@torch.no_grad()
def extract_audio(
    model: Any, processor: Any, clips: Sequence[Path], layers: Sequence[int], level: str, out: Path
) -> None:
    """One run of the script: the sum of `layers`, `level` UTT or FRA."""
    for path in clips:
        samples, rate = soundfile.read(path)
        inputs = processor(samples, sampling_rate=rate, return_tensors="pt").input_values
        hidden = model(inputs, output_hidden_states=True).hidden_states
        feature = torch.stack(hidden)[list(layers)].sum(dim=0)[0].detach().squeeze().cpu().numpy()
        if level == "UTT":
            feature = np.mean(feature, axis=0)
        np.save(out / f"{path.stem}.npy", feature)


@torch.no_grad()
def extract_video(model: Any, processor: Any, clips: Sequence[Path], level: str, out: Path) -> int:
    """One run of the script over every frame of every clip; returns the number of frames."""
    frames = 0
    for path in clips:
        capture = cv2.VideoCapture(str(path))
        features = []
        while True:
            ok, picture = capture.read()
            if not ok:
                break
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            inputs = processor(images=rgb, return_tensors="pt")["pixel_values"]
            features.append(model.get_image_features(inputs).pooler_output[0].numpy())
        frames += len(features)
        feature = np.array(features)
        np.save(out / f"{path.stem}.npy", feature.mean(axis=0) if level == "UTT" else feature)
    return frames
