"""Writing a clip: h264 video and AAC audio in an mp4 file."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def write_clip(
    path: Path,
    frames: NDArray[np.uint8],
    frames_per_second: int,
    waveform: NDArray[np.float32] | None,
    sample_rate: int,
) -> None:
    """Write an mp4 file; equal input gives equal bytes with one build of FFmpeg (one encoder thread, no time
    stamps).

    Args:
        path: file to write; not atomic, write to a temporary name.
        frames: uint8 (time, height, width, 3), RGB, even sides.
        frames_per_second: frame rate.
        waveform: float32 (samples,), mono; None writes no audio track.
        sample_rate: Hz.
    """
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=frames_per_second)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.thread_count = 1
        video.options = {"preset": "ultrafast", "crf": "27"}
        audio = _add_sound(container, sample_rate) if waveform is not None else None
        for picture in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and waveform is not None:
            sound = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(waveform[None]), format="fltp", layout="mono"
            )
            sound.sample_rate = sample_rate
            sound.time_base = Fraction(1, sample_rate)
            sound.pts = 0
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))


def _add_sound(container: Any, sample_rate: int) -> Any:
    stream = container.add_stream("aac", rate=sample_rate, layout="mono")
    stream.options = {"aac_coder": "fast"}
    return stream


def loudness_curve(
    waveform: NDArray[np.float32], sample_rate: int, frames_per_second: int
) -> NDArray[np.float32]:
    """Loudness per video frame, 0..1 relative to the clip's loudest: (frames,), covering the whole
    waveform.
    """
    step = sample_rate / frames_per_second
    count = max(1, int(np.ceil(waveform.size / step)))
    edges = np.minimum(np.round(np.arange(count + 1) * step).astype(int), waveform.size)
    level = [float(np.sqrt(np.mean(np.square(waveform[a:b])))) for a, b in pairwise(edges) if b > a]
    curve = np.asarray(level, dtype=np.float32)
    return curve / max(float(curve.max()), 1e-6)
