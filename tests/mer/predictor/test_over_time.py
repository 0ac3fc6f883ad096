"""What an answer loses without a stretch is what the clip without that stretch is answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from seeing_model import write_seeing

from mer.clips import Clip
from mer.demo.clip_file import write_clip
from mer.encoders.weight_files import wheel_folder
from mer.media.audio import decode_audio
from mer.predictor.over_time import _WithoutPart
from mer.predictor.predictor import Predictor

PARTS = [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]


def clip_at(path: Path) -> Clip:
    return Clip(name=path.stem, content=path.stem, path=path, corpus_root=path.parent)


@pytest.mark.slow
def test_what_is_lost_is_what_the_clip_without_the_part_is_answered(tmp_path: Path) -> None:
    predictor = Predictor(write_seeing(tmp_path / "package"), tmp_path / "weights")
    assets = wheel_folder("moonshine_voice", "moonshine-voice") / "assets"
    speech = decode_audio(assets / "two_cities.wav", max_seconds=2.0)
    soundfile.write(tmp_path / "whole.wav", speech, 16_000, subtype="FLOAT")
    whole = clip_at(tmp_path / "whole.wav")
    (answer,) = predictor.predict([whole])
    found = predictor.over_time(whole, PARTS)
    assert list(found.lost) == ["acoustic"] and found.attention == {}
    for number, (begin, end) in enumerate(PARTS):
        rest = np.concatenate([speech[: round(begin * 32_000)], speech[round(end * 32_000) :]])
        soundfile.write(tmp_path / f"{number}.wav", rest, 16_000, subtype="FLOAT")
        (said,) = predictor.predict([clip_at(tmp_path / f"{number}.wav")])
        lost = answer.probabilities[str(answer.discrete)] - said.probabilities[str(answer.discrete)]
        assert found.lost["acoustic"][number] == pytest.approx(lost, abs=1e-5)
    assert np.ptp(found.lost["acoustic"]) > 1e-5
    frames = np.zeros((20, 64, 64, 3), dtype=np.uint8)
    frames[10:] = np.random.default_rng(0).integers(0, 255, (10, 64, 64, 3))
    write_clip(tmp_path / "both.mp4", frames, 10, speech, 16_000)
    both = predictor.over_time(
        replace(whole, path=tmp_path / "both.mp4", content="both"), [(0, 0.5), (0.5, 1)]
    )
    assert list(both.lost) == ["acoustic", "visual"]
    assert np.abs(both.lost["visual"]).min() > 1e-6  # the halves differ


def test_pictures_of_a_part_are_replaced_by_the_nearest_others() -> None:
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None]
    kept = _WithoutPart(0.3, 0.7).corrupt_frames(frames)
    assert kept.ravel().tolist() == [0, 1, 1, 4, 4, 5]
    assert _WithoutPart(0.0, 1.0).corrupt_frames(frames).ravel().tolist() == list(range(6))
    assert _WithoutPart(0.5, 1.0).corrupt_waveform(np.arange(8, dtype=np.float32), []).tolist() == [
        0,
        1,
        2,
        3,
    ]
