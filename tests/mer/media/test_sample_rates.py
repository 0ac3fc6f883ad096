"""Sampling rates that no sound card has are refused before anything is resampled."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from bad_media import reason_of
from made_media import ffmpeg, make_sound

from mer.errors import QuarantineReason
from mer.media.audio import decode_audio
from mer.media.opening import MediaLimits
from mer.media.probe import probe


def wav_of_rate(path: Path, rate: int) -> Path:
    """200 kB whose header claims this rate."""
    content = bytearray(make_sound(path).read_bytes() + bytes(136_000))
    content[4:8] = struct.pack("<I", len(content) - 8)
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", len(content) - place - 4)
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rate", [1, 100, 999, 768_001, 1_000_000, 260_000_000, 2**31 - 1, 2**32 - 1])
def test_a_rate_that_no_sound_card_has_is_refused(tmp_path: Path, rate: int) -> None:
    path = wav_of_rate(tmp_path / "a.wav", rate)
    for read in (probe, decode_audio):
        assert reason_of(read, path) in {
            QuarantineReason.BAD_SAMPLE_RATE,
            QuarantineReason.TOO_LONG,
            QuarantineReason.DECODE_FAILED,
        }
    if 768_000 < rate < 2**31:
        assert reason_of(probe, path) is QuarantineReason.BAD_SAMPLE_RATE


@pytest.mark.parametrize("rate", [1_000, 4_000, 8_000, 11_025, 44_100, 96_000, 192_000, 384_000, 768_000])
def test_rates_that_sound_cards_have_are_read(tmp_path: Path, rate: int) -> None:
    path = wav_of_rate(tmp_path / "a.wav", rate)
    assert probe(path).sample_rate == rate
    assert decode_audio(path, max_seconds=300).size > 0


@pytest.mark.parametrize("kind", ["au", "aiff", "caf"])
def test_in_other_containers_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=1500000:d=0.1", "-c:a", "pcm_s16be", path)
    for read in (probe, decode_audio):
        assert reason_of(read, path) is QuarantineReason.BAD_SAMPLE_RATE


def test_the_limits_can_be_moved(tmp_path: Path) -> None:
    path = wav_of_rate(tmp_path / "a.wav", 1_000_000)
    assert probe(path, MediaLimits(max_sample_rate=2_000_000)).sample_rate == 1_000_000
