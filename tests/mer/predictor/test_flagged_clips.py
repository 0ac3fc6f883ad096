"""What no model can be sure of gets a flag and no confident answer; ordinary clips get neither, and their answers as before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flagged_clips import FACE, SEEN_FACE, VOICE, Rendered, made_clips, package, render

from mer.clips import Clip, Split
from mer.predictions import Prediction
from mer.predictor.package import RECORD
from mer.predictor.predictor import Predictor
from mer.predictor.trust import DOUBTED

pytestmark = pytest.mark.slow
SURE_OF_NOTHING = DOUBTED + (1 - DOUBTED) / 6
"""Bound of the confidence in a doubted answer among six classes, .375: also above the largest class share of the training set."""
MODELS = {
    "voice": {"voice": VOICE},
    "face": {"face": FACE},
    "detected face": {"face": SEEN_FACE},
    "both": {"voice": VOICE, "face": FACE},
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[Rendered]:
    return render(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rendered: list[Rendered]) -> dict[str, Clip]:
    return made_clips(tmp_path_factory.mktemp("made"), training(rendered)[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rendered: list[Rendered]) -> Callable[[str], Path]:
    """Package of one of the models, made when first asked for."""
    packages: dict[str, Path] = {}

    def of(model: str) -> Path:
        if model not in packages:
            packages[model] = package(tmp_path_factory.mktemp("package"), MODELS[model], training(rendered))
        return packages[model]

    return of


@pytest.fixture(scope="module")
def predictor(folder: Callable[[str], Path]) -> Callable[[str], Predictor]:
    loaded: dict[str, Predictor] = {}

    def of(model: str) -> Predictor:
        if model not in loaded:
            loaded[model] = Predictor(folder(model), folder(model) / "weights")
        return loaded[model]

    return of


def training(rendered: list[Rendered]) -> list[Rendered]:
    return [one for one in rendered if one.plan.split is not Split.TEST]


def held_out(rendered: list[Rendered]) -> list[Clip]:
    """Clips of speakers that no model here has heard or seen."""
    return [one.clip for one in rendered if one.plan.split is Split.TEST]


EXPECTED = [
    ("voice", "silence", {"no_speech"}, ()),
    ("voice", "hiss", {"no_speech"}, ()),
    ("voice", "tone", {"no_speech"}, ()),
    ("voice", "white_noise", {"no_speech"}, ()),
    ("voice", "antiphase_noise", {"no_speech"}, ()),
    ("voice", "one_millisecond", {"no_speech", "too_short"}, ()),
    ("voice", "black_and_silent", {"no_speech"}, ()),
    ("voice", "black", {"no_audio"}, ()),
    ("voice", "music", {"out_of_domain"}, ("voice",)),
    ("face", "black", {"blank"}, ()),
    ("face", "one_colour", {"blank"}, ()),
    ("face", "no_face", {"out_of_domain"}, ("face",)),
    ("face", "silence", {"no_usable_stream"}, ()),
    ("detected face", "black", {"blank", "no_face"}, ()),
    ("detected face", "no_face", {"no_face"}, ("face",)),
    ("both", "silence", {"no_speech"}, ()),
    ("both", "one_millisecond", {"no_speech", "too_short"}, ()),
    ("both", "black_and_silent", {"no_speech", "blank"}, ()),
    ("both", "black", {"no_audio", "blank"}, ()),
    ("both", "music", {"out_of_domain", "one_modality"}, ("voice",)),
    ("both", "no_face", {"out_of_domain", "no_audio", "one_modality"}, ("face",)),
]


@pytest.mark.parametrize(
    ("model", "name", "flags", "read"), EXPECTED, ids=[f"{one[0]}-{one[1]}" for one in EXPECTED]
)
def test_a_flag_and_no_confident_answer(
    predictor: Callable[[str], Predictor],
    made: dict[str, Clip],
    model: str,
    name: str,
    flags: set[str],
    read: tuple[str, ...],
) -> None:
    (answer,) = predictor(model).predict([made[name]])
    assert flags <= set(answer.flags), answer.flags
    assert answer.modalities == read
    assert answer.confidence is not None and answer.confidence <= SURE_OF_NOTHING
    assert answer.valence is not None and abs(answer.valence) < 2.5


FLAGGED_AND_ANSWERED = [
    ("both", "speech_alone", ("voice",), {"one_modality"}),
    ("both", "face_alone", ("face",), {"no_audio", "one_modality"}),
    ("both", "silent_sound_with_face", ("face",), {"no_speech", "one_modality"}),
    ("both", "black_with_speech", ("voice",), {"blank", "one_modality"}),
]


@pytest.mark.parametrize(("model", "name", "read", "flags"), FLAGGED_AND_ANSWERED)
def test_what_says_nothing_is_absent_and_the_rest_is_read(
    predictor: Callable[[str], Predictor],
    made: dict[str, Clip],
    model: str,
    name: str,
    read: tuple[str, ...],
    flags: set[str],
) -> None:
    (answer,) = predictor(model).predict([made[name]])
    assert answer.modalities == read and flags <= set(answer.flags), answer
    assert "out_of_domain" not in answer.flags


def test_silence_is_the_same_as_no_sound(
    predictor: Callable[[str], Predictor], made: dict[str, Clip]
) -> None:
    silent, mute = predictor("both").predict([made["silent_sound_with_face"], made["face_alone"]])
    assert silent.probabilities == pytest.approx(mute.probabilities, abs=1e-6)


def test_antiphase_speech_has_the_answer_of_one_channel(
    predictor: Callable[[str], Predictor], made: dict[str, Clip]
) -> None:
    antiphase, plain = predictor("voice").predict([made["antiphase_speech"], made["speech_alone"]])
    assert antiphase.flags == plain.flags == ()
    assert antiphase.probabilities == pytest.approx(plain.probabilities, abs=0.02)
    assert antiphase.confidence is not None and antiphase.confidence > 0.5


@pytest.mark.parametrize("model", MODELS)
def test_held_out_clips_have_no_flag_and_the_answers_of_a_package_without_a_domain(
    predictor: Callable[[str], Predictor],
    folder: Callable[[str], Path],
    rendered: list[Rendered],
    tmp_path: Path,
    model: str,
) -> None:
    clips = held_out(rendered)
    answers = predictor(model).predict(clips)
    outside = [one for one in answers if "out_of_domain" in one.flags]
    assert len(clips) >= 20 and len(outside) <= 0.05 * len(clips), [one.name for one in outside]
    before = of_before(folder(model), tmp_path).predict(clips)
    for answer, plain in zip(answers, before, strict=True):
        if not set(answer.flags) & {"out_of_domain", "no_face"}:
            assert answer == plain
    sure = np.mean([one.confidence or 0 for one in answers if one not in outside])
    assert sure > SURE_OF_NOTHING or model == "detected face", "the bound says nothing"


def test_a_package_of_before_doubts_what_says_nothing(
    folder: Callable[[str], Path], made: dict[str, Clip], tmp_path: Path
) -> None:
    earlier = of_before(folder("voice"), tmp_path)
    silence, music = earlier.predict([made["silence"], made["music"]])
    assert silence.flags == ("no_speech",) and silence.confidence is not None
    assert silence.confidence <= SURE_OF_NOTHING
    assert "out_of_domain" not in music.flags


def test_silence_is_answered_by_the_training_set(
    predictor: Callable[[str], Predictor], made: dict[str, Clip], rendered: list[Rendered]
) -> None:
    (answer,) = predictor("voice").predict([made["silence"]])
    train = training(rendered)
    shares = {name: np.mean([one.plan.emotion == name for one in train]) for name in answer.probabilities}
    assert answer.probabilities == pytest.approx(shares)
    assert answer.valence == pytest.approx(np.mean([one.plan.valence for one in train]), abs=1e-4)


def of_before(folder: Path, copy: Path) -> Predictor:
    """The same package as it was written before there were domains."""
    for path in folder.iterdir():
        if path.name not in (RECORD, "domain", "weights"):
            (copy / path.name).symlink_to(path)
    record = json.loads((folder / RECORD).read_text())
    del record["domain"]
    (copy / RECORD).write_text(json.dumps(record))
    return Predictor(copy, folder / "weights")


def test_predictions_are_valid(predictor: Callable[[str], Predictor], made: dict[str, Clip]) -> None:
    for answer in predictor("both").predict(list(made.values())):
        assert Prediction.model_validate(answer.model_dump()) == answer
