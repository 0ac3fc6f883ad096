"""Speech recognisers by source.

    wheel:moonshine-tiny         English, inside the `moonshine-voice` wheel (Useful Sensors, MIT); needs no hub
    faster-whisper:<folder>      a CTranslate2 Whisper model in a local folder; extra `faster-whisper`
    funasr:<folder>              a FunASR model (Paraformer, SenseVoice) in a local folder; extra `funasr`

A transcript of a recogniser is a guess: it is kept under the recogniser's name, and never replaces one that the
corpus came with.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mer.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from mer.media.audio import Waveform

SAMPLE_RATE = 16_000
"""Hz, of what recognisers hear."""

WHEEL = "wheel:moonshine-tiny"
_SILENT = 1e-3
"""Below this peak (full scale 1) there is nothing to hear."""
FASTER_WHISPER, FUNASR = "faster-whisper:", "funasr:"
_TAGS = re.compile(r"<\|[^|]*\|>")
"""SenseVoice writes language, emotion and event tags into its text; they would leak labels of another model."""


class Recogniser(Protocol):
    """Turns speech into text."""

    def transcribe(self, waveform: Waveform) -> str:
        """Text of a waveform, float32 (time,) at 16 kHz; empty where nothing was said."""
        ...


def check_source(source: str) -> str:
    """The source itself. Raises ConfigError for one that no recogniser answers to."""
    if source == WHEEL or source.startswith((FASTER_WHISPER, FUNASR)):
        return source
    raise ConfigError(
        f"recogniser {source!r}: expected {WHEEL}, {FASTER_WHISPER}<folder> or {FUNASR}<folder>"
    )


def open_recogniser(source: str) -> Recogniser:
    """Load a recogniser (once; it is used for many clips).

    Raises:
        ConfigError: no such source, or its package is not installed.
        WeightsError: the model's folder is absent.
    """
    check_source(source)
    if source == WHEEL:
        return WheelRecogniser()
    kind, _, location = source.partition(":")
    folder = Path(location).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"{kind}: expected a model folder at {folder}, found none")
    return FasterWhisper(folder) if source.startswith(FASTER_WHISPER) else FunAsr(folder)


class WheelRecogniser:
    """Moonshine-tiny with its decoder, run by the wheel's own native library.

    The library's voice detector is off: it drops some emotional speech whole, and keeps state, so that a text would
    depend on the clips before it. Silence is ours to notice instead (the decoder says "You" to it).
    """

    def __init__(self) -> None:
        from moonshine_voice.moonshine_api import ModelArch
        from moonshine_voice.transcriber import Transcriber

        from mer.encoders.weight_files import wheel_folder

        folder = wheel_folder("moonshine_voice", "moonshine-voice") / "assets" / "tiny-en"
        self._model: Any = Transcriber(str(folder), ModelArch.TINY, options={"vad_threshold": "0.0"})

    def transcribe(self, waveform: Waveform) -> str:
        """See `Recogniser.transcribe`."""
        from mer.media.audio import trim_silence

        speech = trim_silence(waveform, SAMPLE_RATE)
        if speech.size == 0 or float(abs(speech).max()) < _SILENT:
            return ""
        transcript = self._model.transcribe_without_streaming(speech.tolist(), SAMPLE_RATE)
        return _joined([line.text for line in transcript.lines])


class FasterWhisper:
    """Whisper through CTranslate2: 8-bit on the CPU, greedy, no history between segments (it invents text)."""

    def __init__(self, folder: Path) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise _not_installed("faster-whisper") from error
        self._model: Any = WhisperModel(str(folder), compute_type="int8", local_files_only=True)

    def transcribe(self, waveform: Waveform) -> str:
        """See `Recogniser.transcribe`."""
        segments, _ = self._model.transcribe(waveform, beam_size=1, condition_on_previous_text=False)
        return _joined([segment.text for segment in segments])


class FunAsr:
    """FunASR (Paraformer or SenseVoice): the usual recogniser for Chinese."""

    def __init__(self, folder: Path) -> None:
        try:
            from funasr import AutoModel
        except ImportError as error:
            raise _not_installed("funasr") from error
        self._model: Any = AutoModel(model=str(folder), disable_update=True, trust_remote_code=False)

    def transcribe(self, waveform: Waveform) -> str:
        """See `Recogniser.transcribe`."""
        results = self._model.generate(input=waveform, fs=SAMPLE_RATE, disable_pbar=True)
        return _joined([_TAGS.sub("", item["text"]) for item in results])


def _joined(lines: list[str]) -> str:
    return " ".join(text for line in lines if (text := line.strip()))


def _not_installed(package: str) -> ConfigError:
    return ConfigError(
        f"recogniser {package}: expected the package {package}, found none; pip install {package}"
    )
