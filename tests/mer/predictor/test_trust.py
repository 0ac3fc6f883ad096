"""How findings become flags, absent streams and trust, and trust the answer: by tables made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mer.domain.fit import fit_tables
from mer.domain.training_domain import TrainingDomain
from mer.emotions import VALENCE_RANGE
from mer.media.faces import NO_FACE
from mer.names import STORED
from mer.predictions import Evidence
from mer.predictor.inspection import ContentInspector
from mer.predictor.trust import DOUBTED, DOUBTFUL, Findings, trusted_shares, trusted_valence, weigh
from mer.recipes import Recipe
from mer.stream_tables import FeatureTable, LevelTables, RaggedTable

COUNT, WIDTH = 6, 5
ABSENT = frozenset({"no_speech", "blank", "too_short"})


def recipe(**options: object) -> Recipe:
    words = {"source": "wheel:all-minilm-l6-v2", **options}
    streams = {
        "voice": {"modality": "acoustic", "features": {"source": "files:a"}},
        "second": {"modality": "acoustic", "features": {"source": "files:b"}},
        "face": {"modality": "visual", "features": {"source": "files:c"}},
        "words": {"modality": "lexical", "features": words},
    }
    return Recipe.model_validate(
        {"name": "made", "emotions": ("angry", "happy"), "streams": streams}, context=STORED
    )


NAMES = {
    "voice": "acoustic/voice",
    "second": "acoustic/second",
    "face": "visual/face",
    "words": "lexical/words",
}


def tables(*absent: str) -> dict[str, FeatureTable]:
    generator = np.random.default_rng(1)
    return {
        table: FeatureTable(
            tuple(f"c{row}" for row in range(COUNT)),
            generator.normal(size=(COUNT, WIDTH)).astype(np.float32),
            np.full(COUNT, name not in absent),
        )
        for name, table in NAMES.items()
    }


def findings(flags: dict[str, str], *absent: str, recognised: bool = False) -> Findings:
    """Of clips that are all alike: each stream has one flag at most."""
    return Findings(
        {name: np.full(COUNT, name not in absent) for name in NAMES},
        {name: [(flags[name],) if name in flags else ()] * COUNT for name in NAMES},
        {"words": np.full(COUNT, recognised)},
    )


CASES = {
    "nothing": ({}, (), {"voice", "second", "face", "words"}, (), 1.0),
    "no speech": ({"voice": "no_speech"}, (), {"second", "face", "words"}, ("no_speech",), 1.0),
    "blank": ({"face": "blank"}, (), {"voice", "second", "words"}, ("blank",), 1.0),
    "too short": ({"second": "too_short"}, (), {"voice", "face", "words"}, ("too_short",), 1.0),
    "no face": ({"face": "no_face"}, (), {"voice", "second", "face", "words"}, ("no_face",), 1.0),
    "no face alone": (
        {"face": "no_face"}, ("voice", "second", "words"), {"face"}, ("no_face", "one_modality"), DOUBTED,
    ),
    "one modality": ({}, ("face", "words"), {"voice", "second"}, ("one_modality",), 1.0),
    "nothing said": (
        {"voice": "no_speech", "second": "no_speech"}, ("face", "words"), set(), ("no_speech",), 0.0,
    ),
    "nothing there": ({"voice": "no_audio"}, tuple(NAMES), set(), ("no_audio",), 0.0),
    "odd but read": ({"voice": "cut", "face": "several_faces"}, (), set(NAMES), ("cut", "several_faces"), 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_flags_absent_streams_and_trust(case: str) -> None:
    of_streams, absent, read, flags, trust = CASES[case]
    weighed = weigh(
        {"utterance": tables(*absent)}, findings(of_streams, *absent), recipe(), None, maskable=True
    )
    for evidence in weighed.evidence:
        assert (set(evidence.streams), evidence.flags, evidence.trust) == (read, flags, trust)
    for name, table in NAMES.items():
        left = weighed.tables["utterance"][table]
        assert left.present.all() if name in read else not left.present.any()
        np.testing.assert_array_equal(
            left.values, tables()[table].values if name in read or name in absent else 0
        )


def test_clips_of_which_nothing_is_said_are_not_touched() -> None:
    before: LevelTables = {"utterance": tables()}
    weighed = weigh(before, findings({"face": "no_face"}), recipe(), None, maskable=True)
    assert all(weighed.tables["utterance"][name] is table for name, table in before["utterance"].items()), (
        "the very tables, so the very answers"
    )


@pytest.mark.parametrize(("recognised", "read"), [(True, set()), (False, {"words"})])
def test_a_text_that_was_heard_where_nobody_speaks_is_none(recognised: bool, read: set[str]) -> None:
    found = findings({"voice": "no_speech"}, "second", "face", recognised=recognised)
    weighed = weigh(
        {"utterance": tables("second", "face")}, found, recipe(recogniser="wheel:moonshine-tiny"), None,
        maskable=True,
    )  # fmt: skip
    assert {frozenset(one.streams) for one in weighed.evidence} == {frozenset(read)}


def test_a_system_that_needs_every_stream_reads_all_and_is_doubted() -> None:
    before: LevelTables = {"utterance": tables()}
    weighed = weigh(before, findings({"voice": "no_speech"}), recipe(), None, maskable=False)
    assert weighed.tables is before
    assert {one.trust for one in weighed.evidence} == {DOUBTED}


def test_frames_and_what_was_learnt_beside_them_are_absent_together() -> None:
    flat = tables()["acoustic/voice"]
    offsets = np.arange(0, 3 * COUNT + 1, 3)
    frames = RaggedTable(flat.clip_ids, flat.values.repeat(3, axis=0), offsets, flat.present)
    flags = [("no_speech",) if row == 2 else () for row in range(COUNT)]
    found = Findings({"voice": np.ones(COUNT, dtype=bool)}, {"voice": flags}, {})
    both = {"acoustic/voice": frames, "acoustic/voice/learnt": flat}
    left = weigh({"frames": both}, found, recipe(), None, maskable=True).tables["frames"]
    ragged, learnt = left["acoustic/voice"], left["acoustic/voice/learnt"]
    assert isinstance(ragged, RaggedTable)
    assert ragged.present.tolist() == learnt.present.tolist() == [row != 2 for row in range(COUNT)]
    assert np.diff(ragged.offsets).tolist() == [1 if row == 2 else 3 for row in range(COUNT)]
    np.testing.assert_array_equal(ragged.values[:6], frames.values[:6])
    np.testing.assert_array_equal(ragged.values[6], 0)
    np.testing.assert_array_equal(ragged.values[7:], frames.values[9:])


def test_out_of_domain_is_seen_in_what_is_read() -> None:
    """A stream that says nothing is not measured."""
    generator = np.random.default_rng(2)
    ids = tuple(f"t{row}" for row in range(200))
    train = {
        name: FeatureTable(ids, generator.normal(size=(200, WIDTH)), np.ones(200, bool))
        for name in NAMES.values()
    }
    held = [{name: np.full(200, 3.0) for name in train}]
    domain = TrainingDomain("utterance", fit_tables(train, np.ones(200, bool), held))
    far = tables()
    far["acoustic/voice"].values[0] += 90
    for flags, outside in (({}, True), ({"voice": "no_speech"}, False)):
        weighed = weigh({"utterance": far}, findings(flags), recipe(), domain, maskable=True)
        first, *others = weighed.evidence
        assert ("out_of_domain" in first.flags) is outside and first.trust == (DOUBTED if outside else 1.0)
        assert not any("out_of_domain" in one.flags for one in others)


def evidence(*trust: float) -> list[Evidence]:
    return [Evidence((), (), one) for one in trust]


def test_probabilities_by_trust() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(3) / 4, 50)
    domain = TrainingDomain("utterance", {}, (0.5, 0.3, 0.2), 1.0)
    np.testing.assert_array_equal(trusted_shares(shares, evidence(*[1.0] * 50), domain), shares)
    doubted = trusted_shares(shares, evidence(*[DOUBTED] * 50), domain)
    np.testing.assert_array_equal(doubted.argmax(axis=1), shares.argmax(axis=1))
    assert doubted.max() <= DOUBTED + (1 - DOUBTED) / 3 and np.allclose(doubted.sum(axis=1), 1)
    assert trusted_shares(shares, evidence(*[0.0] * 50), domain)[7].tolist() == [0.5, 0.3, 0.2]
    for nothing_known in (None, TrainingDomain("utterance")):
        of_before = trusted_shares(shares, evidence(*[0.0] * 50), nothing_known)
        np.testing.assert_allclose(of_before, doubted)


def test_valence_by_trust() -> None:
    given = np.array([-13.3, 9.0, 2.0, np.nan], dtype=np.float32)
    domain = TrainingDomain("utterance", valence=1.0)
    kept = trusted_valence(given, evidence(1, 1, 1, 1), domain)
    np.testing.assert_array_equal(kept, np.clip(given.astype(float), *VALENCE_RANGE))
    np.testing.assert_allclose(
        trusted_valence(given, evidence(DOUBTED, DOUBTED, 0, DOUBTED), domain), [-0.5, 2.0, 1.0, np.nan]
    )
    np.testing.assert_allclose(trusted_valence(given, evidence(DOUBTED, 0, 0, 0), None)[:2], [-1.25, 0.0])


SPEECHLESS = {
    "silence": lambda time: 0 * time,
    "dc": lambda time: 0 * time + 0.4,
    "click": lambda time: (np.abs(time - 1) < 1e-5).astype(float),
    "low tone": lambda time: 0.3 * np.sin(2 * np.pi * 60 * time),
    "high tone": lambda time: 0.3 * np.sin(2 * np.pi * 3000 * time),
    "dial tone": lambda time: 0.2 * (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)),
    "square": lambda time: 0.2 * np.sign(np.sin(2 * np.pi * 200 * time)),
    "hum": lambda time: 0.1 * sum(np.sin(2 * np.pi * 50 * part * time) / part for part in range(1, 9)),
    "white noise": lambda time: np.random.default_rng(1).normal(0, 0.1, time.size),
}


@pytest.mark.parametrize("name", SPEECHLESS)
@pytest.mark.parametrize("seconds", [0.001, 0.5, 3.0, 10.0])
def test_sounds_in_which_nobody_speaks(name: str, seconds: float) -> None:
    time = np.arange(round(seconds * 16_000)) / 16_000
    assert ContentInspector().sound(SPEECHLESS[name](time).astype(np.float32)) == ("no_speech",)


@pytest.mark.parametrize("seconds", [0.3, 0.5, 1.0, None])
def test_real_speech_is_some(shared_data, seconds: float | None) -> None:  # type: ignore[no-untyped-def]
    from mer.media.audio import decode_audio, trim_silence

    for path in sorted((shared_data / "ravdess" / "audio").glob("*.flac"))[::120]:
        sound = trim_silence(decode_audio(path), 16_000)
        length = sound.size if seconds is None else round(seconds * 16_000)
        begin = (sound.size - length) // 2
        assert ContentInspector().sound(sound[begin : begin + length]) == ()


@pytest.mark.parametrize(("level", "noise", "blank"), [(0, 0, True), (130, 1, True), (130, 20, False)])
def test_pictures_that_show_nothing(level: int, noise: int, blank: bool) -> None:
    frames = level + np.random.default_rng(1).normal(0, noise, (2, 64, 64, 3))
    crops = np.clip(frames, 0, 255).astype(np.uint8)
    assert ContentInspector().pictures(crops) == (("blank",) if blank else ())


def test_flags_are_called_as_detectors_call_them() -> None:
    assert frozenset({NO_FACE}) == DOUBTFUL
