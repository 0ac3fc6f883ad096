"""The recogniser in the wheel understands real speech; the others say what they lack."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mer.clips import Clip
from mer.encoders.weight_files import wheel_folder
from mer.errors import ConfigError, WeightsError
from mer.media.audio import decode_audio
from mer.transcription.listen import with_transcripts
from mer.transcription.recogniser import WHEEL, check_source, open_recogniser


def test_real_speech_is_understood_and_silence_is_not_made_up() -> None:
    recogniser = open_recogniser(WHEEL)
    recording = wheel_folder("moonshine_voice", "moonshine-voice") / "assets" / "two_cities.wav"
    text = recogniser.transcribe(decode_audio(recording, max_seconds=12.0)).lower()
    assert "best of times" in text and "worst of times" in text
    assert recogniser.transcribe(np.zeros(16000, np.float32)) == ""
    assert recogniser.transcribe(np.zeros(0, np.float32)) == ""


def test_emotional_speech_of_ravdess_is_understood(shared_data: Path) -> None:
    recogniser = open_recogniser(WHEEL)
    happy = shared_data / "data" / "ravdess" / "audio" / "03-01-03-02-01-01-06.flac"
    assert "by the door" in recogniser.transcribe(decode_audio(happy)).lower()


def test_an_unknown_recogniser_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected wheel:moonshine-tiny"):
        check_source("whisper-large")


def test_a_model_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a model folder at .*none-here"):
        open_recogniser(f"faster-whisper:{tmp_path / 'none-here'}")


@pytest.mark.parametrize("kind", ["faster-whisper", "funasr"])
def test_a_missing_package_says_what_to_install(kind: str, tmp_path: Path) -> None:
    if find_spec(kind.replace("-", "_")) is not None:
        pytest.skip(f"{kind} is installed")
    with pytest.raises(ConfigError, match=f"pip install {kind}"):
        open_recogniser(f"{kind}:{tmp_path}")


def test_clips_are_listened_to_only_where_nothing_is_told(tmp_path: Path) -> None:
    whole = wheel_folder("moonshine_voice", "moonshine-voice") / "assets" / "two_cities.wav"
    recording = tmp_path / "first_seconds.wav"
    soundfile.write(recording, decode_audio(whole, max_seconds=4.0), 16_000)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"")
    clips = [
        Clip(content=str(number), name=str(number), path=path, corpus_root=tmp_path, transcript=told)
        for number, (path, told) in enumerate([(recording, "told"), (recording, None), (broken, None)])
    ]
    told, heard, silent = with_transcripts(clips, open_recogniser(WHEEL))
    assert told.transcript == "told"
    assert "best of times" in (heard.transcript or "").lower()
    assert silent.transcript == ""
