"""Flags and statuses in words, for people who have not read docs/predictions.md."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mer.errors import QuarantineReason
from mer.predictions import Prediction

FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "no_speech": "Nobody seems to speak: the sound is left out of the answer.",
        "blank": "The pictures show nothing (one colour): they are left out of the answer.",
        "out_of_domain": "The clip is unlike anything the model was trained on: the answer is not to be relied on.",
        "one_modality": "Only one of the modalities that the model reads was found in the clip.",
        "no_face": "No face was found: the whole picture was read instead.",
        "several_faces": "There are several faces: the leading one was read, the speaker may be another.",
        "cut": "The clip is longer than the model reads: what comes after that was left out.",
        "too_short": "There is too little sound to read: it is left out of the answer.",
        "no_transcript": "There is no text with a word in it: the answer does without words.",
        "unknown_words": "Many words are unknown to the text encoder; it may be another language.",
        "no_feature_file": "The features of a stream are not there: it is left out of the answer.",
        "empty_features": "The features of a stream are nothing but zeros: it is left out of the answer.",
        "not_finite": "An encoder gave no usable numbers for this clip: its stream is left out of the answer.",
        "risk_too_high": "The model is too unsure for the share of wrong answers that is allowed: the answer is left open.",
        "priors_given": "The answer was corrected for class shares that were given.",
        "not_gated": "The version that answers did not pass the promotion gate.",
    }
)
STATUSES: Mapping[QuarantineReason, str] = MappingProxyType(
    {
        QuarantineReason.EMPTY_FILE: "The file is empty.",
        QuarantineReason.NOT_MEDIA: "The file is no sound and no video.",
        QuarantineReason.TRUNCATED: "The file ends too early: send it again, or another copy.",
        QuarantineReason.NO_AUDIO: "The file has no sound.",
        QuarantineReason.NO_USABLE_STREAM: "Neither sound nor pictures of the file can be read.",
        QuarantineReason.BAD_SAMPLE_RATE: "The sampling rate of the sound is none that a sound card has.",
        QuarantineReason.TOO_LONG: "The clip is too long.",
        QuarantineReason.TOO_LARGE: "The file, its pictures or its number of streams are too large.",
        QuarantineReason.UNSAFE_CONTAINER: "The file refers to other files or addresses: it is not opened.",
        QuarantineReason.DECODE_FAILED: "The file cannot be decoded.",
        QuarantineReason.DECODER_CRASHED: "The file breaks its decoder.",
        QuarantineReason.TIMED_OUT: "Decoding the file takes too long.",
    }
)


def in_words(prediction: Prediction) -> tuple[str, ...]:
    """What is odd about a clip, or why it has no answer; what has no words here is named as it is."""
    if isinstance(prediction.status, QuarantineReason):
        status = prediction.status
        return (STATUSES.get(status, f"The file cannot be used: {status.value}."),)
    return tuple(flag_in_words(flag) for flag in prediction.flags)


def flag_in_words(flag: str) -> str:
    """One flag; the reason why a stream is absent is a flag too."""
    if flag in FLAGS:
        return FLAGS[flag]
    if flag in set(QuarantineReason):
        return f"A part of the clip could not be read: {flag}."
    return flag
